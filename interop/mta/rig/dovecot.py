"""Debian's Dovecot as an LMTP server delivering to Maildirs."""

import os
import shutil

from .process import Process, free_port, run, wait_for

NOBODY = 65534

_CONFIG = """
protocols = lmtp
base_dir = {dir}/run
state_dir = {dir}/state
log_path = {dir}/log
listen = 127.0.0.1
ssl = no
mail_location = maildir:{dir}/mail/%n
# Octets as they came; by default Maildir files have LF line ends.
mail_save_crlf = yes
first_valid_uid = 1
lmtp_save_to_detail_mailbox = no
recipient_delimiter =
userdb {{
  driver = passwd-file
  args = username_format=%u {dir}/users
}}
passdb {{
  driver = passwd-file
  args = username_format=%u {dir}/users
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {port}
  }}
  unix_listener {socket} {{
    mode = 0666
  }}
}}
protocol lmtp {{
  postmaster_address = postmaster@{domain}
}}
"""


class Dovecot:
    """LMTP on `port` and on the unix socket `socket`; unknown users get 550 5.1.1."""

    def __init__(self, rig, name, domain, users, lines=""):
        """`lines`: more configuration, as an operator adds it."""
        self.rig, self.name, self.domain = rig, name, domain
        self.directory = rig.make_directory(name)
        self.port = free_port()
        self.socket = self.directory / "lmtp"
        self.maildirs, self.log = self.directory / "mail", self.directory / "log"
        self.maildirs.mkdir()
        os.chown(self.maildirs, NOBODY, NOBODY)
        (self.directory / "users").write_text(
            "".join(
                f"{user}@{domain}:{{plain}}none:{NOBODY}:{NOBODY}::{self.maildirs}/{user}::\n"
                for user in users
            )
        )
        (self.directory / "dovecot.conf").write_text(
            _CONFIG.format(dir=self.directory, port=self.port, socket=self.socket, domain=domain) + lines
        )
        self.start()

    def start(self):
        self.process = Process(
            self.rig,
            self.name,
            [shutil.which("dovecot", path="/usr/sbin"), "-F", "-c", self.directory / "dovecot.conf"],
            self.directory,
        )
        self.process.wait_port(self.port)
        wait_for("dovecot's socket", self.socket.exists)

    def mailbox(self, address):
        """The messages delivered to this address, as octets."""
        new = self.maildirs / address.partition("@")[0] / "new"
        return [path.read_bytes() for path in sorted(new.glob("*"))]

    def run(self, text):
        """Runs a line of shell in which `doveconf` reads this configuration; its output, or RigError."""
        return run(text.replace("doveconf ", f"doveconf -c {self.directory}/dovecot.conf "), self.directory)

    def log_text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""
