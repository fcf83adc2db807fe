"""Debian's Postfix as an instance of its own: its own configuration, queue and data directories."""

import os
import shutil

from .process import Process, RigError, free_port

MASTER = "/usr/lib/postfix/sbin/master"
NOBODY = 65534  # owns the mailboxes

_SERVICES = """
pickup    unix  n  -  n  60  1  pickup
cleanup   unix  n  -  n  -   0  cleanup
qmgr      unix  n  -  n  1   1  qmgr
rewrite   unix  -  -  n  -   -  trivial-rewrite
bounce    unix  -  -  n  -   0  bounce
defer     unix  -  -  n  -   0  bounce
trace     unix  -  -  n  -   0  bounce
verify    unix  -  -  n  -   1  verify
flush     unix  n  -  n  1000? 0 flush
proxymap  unix  -  -  n  -   -  proxymap
proxywrite unix -  -  n  -   1  proxymap
smtp      unix  -  -  n  -   -  smtp
lmtp      unix  -  -  n  -   -  lmtp
relay     unix  -  -  n  -   -  smtp
showq     unix  n  -  n  -   -  showq
error     unix  -  -  n  -   -  error
retry     unix  -  -  n  -   -  error
discard   unix  -  -  n  -   -  discard
local     unix  -  n  n  -   -  local
virtual   unix  -  n  n  -   -  virtual
anvil     unix  -  -  n  -   1  anvil
scache    unix  -  -  n  -   1  scache
postlog   unix-dgram n - n -   1  postlogd
"""


class Postfix:
    """Queues mail for `default_transport`; delivers `mailbox_domain` to Maildirs if one is given.

    `more` adds to main.cf, or replaces what stands there.
    """

    def __init__(
        self, rig, name, default_transport, mailbox_domain=None, users=(), transports=(), more=None
    ):
        self.rig, self.name, self.mailbox_domain = rig, name, mailbox_domain
        self.directory = rig.make_directory(name)
        self.port = free_port()
        self.conf = self.directory / "conf"
        self.queue, self.data = self.directory / "queue", self.directory / "data"
        self.maildirs, self.log = self.directory / "mail", self.directory / "log"
        for path in (self.conf, self.queue, self.data, self.maildirs):
            path.mkdir()
        shutil.chown(self.data, "postfix")
        os.chown(self.maildirs, NOBODY, NOBODY)
        # 3.7 knows dynamic map types only from these files beside main.cf.
        for file in ("dynamicmaps.cf", "postfix-files"):
            shutil.copy(f"/etc/postfix/{file}", self.conf)
        (self.conf / "users").write_text(
            "".join(f"{user}@{mailbox_domain} {user}/\n" for user in users)
        )
        (self.conf / "transports").write_text(
            "".join(f"{pattern} {transport}\n" for pattern, transport in transports)
        )
        (self.conf / "master.cf").write_text(
            f"127.0.0.1:{self.port} inet n - n - - smtpd\n" + _SERVICES.lstrip()
        )
        settings = {
            "compatibility_level": "3.6",
            "queue_directory": self.queue,
            "data_directory": self.data,
            "maillog_file": self.log,
            "maillog_file_prefixes": self.directory,
            "myhostname": f"mx.{mailbox_domain or 'company1.example'}",
            "myorigin": "$myhostname",
            "mydestination": "",
            "mynetworks": "127.0.0.0/8",
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4",
            "alias_maps": "",
            "alias_database": "",
            "smtp_dns_support_level": "disabled",
            "smtp_host_lookup": "native",
            "smtpd_peername_lookup": "no",
            # The transport-level place of the sealing gateway: bounces take it too.
            "default_transport": default_transport,
            "transport_maps": f"texthash:{self.conf}/transports",
            "message_size_limit": "60000000",
            "mailbox_size_limit": "0",
            "virtual_mailbox_limit": "0",
            "local_header_rewrite_clients": "",
            "smtpd_relay_restrictions": "permit_mynetworks, reject",
            "smtpd_client_connection_count_limit": "0",
            "smtpd_forbid_bare_newline": "yes",
            # 3.7.11: CHUNKING would let a peer bypass the recorded DATA.
            "smtpd_discard_ehlo_keywords": "chunking",
            "in_flow_delay": "0",
            "queue_run_delay": "1s",
            "minimal_backoff_time": "1s",
            "maximal_backoff_time": "2s",
            "maximal_queue_lifetime": "1h",
            "smtp_tls_security_level": "none",
            "smtpd_tls_security_level": "none",
            "virtual_mailbox_domains": mailbox_domain or "",
            "virtual_mailbox_base": self.maildirs,
            "virtual_mailbox_maps": f"texthash:{self.conf}/users",
            "virtual_uid_maps": f"static:{NOBODY}",
            "virtual_gid_maps": f"static:{NOBODY}",
            "virtual_minimum_uid": "1",
            **(more or {}),
        }
        (self.conf / "main.cf").write_text(
            "".join(f"{key} = {value}\n" for key, value in settings.items())
        )
        self.start()

    def start(self):
        """Starts the master in the foreground and waits for its greeting."""
        check = Process(
            self.rig, f"{self.name}/check", ["/usr/sbin/postfix", "-c", self.conf, "check"], self.directory
        )
        status = check.child.wait(60)
        check.stop()
        if status:
            raise RigError(f"postfix check: {check.tail()}")
        self.process = Process(
            self.rig,
            self.name,
            [MASTER, "-c", self.conf, "-d"],
            self.directory,
            env={"PATH": os.environ["PATH"], "MAIL_CONFIG": str(self.conf)},
        )
        self.process.wait_port(self.port)

    def queued(self):
        """Ids of the messages still in the queue."""
        return [
            path.name
            for queue in ("maildrop", "incoming", "active", "deferred", "hold")
            for path in (self.queue / queue).rglob("*")
            if path.is_file()
        ]

    def mailbox(self, address):
        """The messages delivered to this address, as octets with CRLF ends (Maildir has LF)."""
        new = self.maildirs / address.partition("@")[0] / "new"
        return [p.read_bytes().replace(b"\n", b"\r\n") for p in sorted(new.glob("*"))]

    def log_text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""
