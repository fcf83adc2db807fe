"""Debian's Exim in a root of its own: the relay between the companies, or as Debian configures it."""

import os
import re

from .process import Process, free_port, run
from .root import Root

EXIM_UID = 64990  # Debian-exim in the root's own passwd; written by `install`

_CONFIG = """
primary_hostname = relay.example
qualify_domain = relay.example
exim_path = /usr/sbin/exim4
spool_directory = /var/spool/exim4
log_file_path = /var/log/exim4/%slog
log_selector = +all_parents +smtp_confirmation
local_interfaces = <; 127.0.0.1
daemon_smtp_ports = {port}
keep_environment =
tls_advertise_hosts =
chunking_advertise_hosts =
host_lookup =
rfc1413_hosts =
message_size_limit = 100M
smtp_accept_max = 200
smtp_accept_queue_per_connection = 0
smtp_accept_max_per_connection = 0
queue_run_max = 5
acl_smtp_connect = acl_connect
acl_smtp_rcpt = acl_open

begin acl
acl_connect:
  accept control = dkim_disable_verify
acl_open:
  accept

begin routers
{routers}
begin transports
{transports}
begin retry
* * F,1h,1s
"""

_ROUTER = """
to_{name}:
  driver = manualroute
  domains = {domain}
  transport = {name}
  route_list = * 127.0.0.1::{port} byname
  self = send
  no_more
"""

_TRANSPORT = """
{name}:
  driver = smtp
  protocol = {protocol}
  port = 25
  allow_localhost
  hosts_avoid_tls = *
  hosts_try_chunking =
  hosts_try_fastopen =
  hosts_try_prdr =
  message_linelength_limit = 998
"""


class Exim:
    """`routes`: domain -> (port, "smtp" or "lmtp"); the domain `*` takes the rest."""

    def __init__(self, rig, name, routes):
        self._root(rig, name)
        names = {domain: f"route{i}" for i, domain in enumerate(routes)}
        routers = "".join(
            _ROUTER.format(name=names[domain], domain=domain, port=port)
            for domain, (port, _) in routes.items()
        )
        transports = "".join(
            _TRANSPORT.format(name=names[domain], protocol=protocol)
            for domain, (_, protocol) in routes.items()
        )
        config = self.root / "etc/exim4/exim4.conf"
        config.parent.mkdir(parents=True, exist_ok=True)
        config.write_text(
            _CONFIG.format(port=self.port, routers=routers, transports=transports).lstrip()
        )
        self.start()

    def _root(self, rig, name):
        self.rig, self.name = rig, name
        self.directory = rig.make_directory(name)
        self.root, self.port = Root(rig.home, "exim", self.directory / "root").path, free_port()
        for path in ("var/spool/exim4", "var/log/exim4"):
            (self.root / path).mkdir(parents=True, exist_ok=True)
            os.chown(self.root / path, EXIM_UID, EXIM_UID)
        self.spool, self.logs = self.root / "var/spool/exim4", self.root / "var/log/exim4"

    def start(self):
        """Starts the daemon (and a queue runner every second) in the foreground."""
        self.process = Process(
            self.rig,
            self.name,
            ["/usr/sbin/chroot", self.root, "/usr/sbin/exim4", "-bdf", "-q1s"],
            self.directory,
        )
        self.process.wait_port(self.port)

    def queued(self):
        """Ids of the messages still in the spool."""
        return [path.name for path in (self.spool / "input").rglob("*-H")]

    def log_text(self):
        lines = "\n".join(path.read_text(errors="replace") for path in self.logs.glob("*log")).splitlines()
        return "\n".join(line for line in lines if "queue run" not in line and "retry time not reached" not in line)


# As Debian's package writes it for an Internet site; what comes later in the file holds.
_DEBIAN = """
dc_eximconfig_configtype='internet'
dc_other_hostnames=''
dc_local_interfaces='127.0.0.1.{port}'
dc_readhost=''
dc_relay_domains=''
dc_minimaldns='false'
dc_relay_nets=''
dc_smarthost=''
CFILEMODE='644'
dc_use_split_config='true'
dc_hide_mailname=''
dc_mailname_in_oh='true'
dc_localdelivery='mail_spool'
"""

# Mail for one domain goes to a port, before every router of Debian and of a recipe.
_AHEAD = """
rig_{name}:
  driver = manualroute
  domains = {domain}
  transport = rig
  route_list = * 127.0.0.1::{port} byname
  self = send
  no_more
"""


class DebianExim(Exim):
    """Exim configured by Debian's `update-exim4.conf`, with `files` (path -> text) added or appended to.

    `ahead`: domain -> port that mail for this domain goes to.
    """

    def __init__(self, rig, name, hostname, files, ahead):
        self._root(rig, name)
        base = {
            "/etc/passwd": "uucp:x:10:10:uucp:/var/spool/uucp:/usr/sbin/nologin\n",  # Debian's configuration names it
            "/etc/group": "uucp:x:10:\n",
            "/etc/services": "smtp 25/tcp\nsubmissions 465/tcp\nsubmission 587/tcp\n",
            "/etc/mailname": f"{hostname}\n",
            "/etc/exim4/update-exim4.conf.conf": _DEBIAN.format(port=self.port).lstrip(),
            "/etc/exim4/conf.d/main/000_rig": f"MAIN_HARDCODE_PRIMARY_HOSTNAME = {hostname}\n",
            "/etc/exim4/conf.d/transport/00_rig": "rig:\n  driver = smtp\n  allow_localhost\n  hosts_avoid_tls = *\n",
            "/etc/exim4/conf.d/router/050_rig": "".join(
                _AHEAD.format(name=f"r{i}", domain=domain, port=port) for i, (domain, port) in enumerate(ahead.items())
            ),
        }
        for path, text in [*base.items(), *files.items()]:
            file = self.root / path.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            with open(file, "a") as out:
                out.write(text)
        # Debian's script, which knows no root but the system's.
        script = (self.root / "usr/sbin/update-exim4.conf").read_text()
        script = re.sub(r"(?<=[\s\"])/(etc/(?:exim4|mailname)|var/lib/exim4|usr/sbin/exim4)", rf"{self.root}/\1", script)
        script = script.replace("root:Debian-exim", f"0:{EXIM_UID}")
        (self.root / "var/lib/exim4").mkdir(parents=True, exist_ok=True)
        (self.directory / "update-exim4.conf").write_text(script)
        run(f"sh ./update-exim4.conf -o {self.root}/var/lib/exim4/config.autogenerated", self.directory)
        # CONFDIR is a macro of Debian's configuration; inside the root it is right as it is.
        made = self.root / "var/lib/exim4/config.autogenerated"
        made.write_text(made.read_text().replace(str(self.root), ""))
        self.start()

    def run(self, text):
        """Runs a line of shell in which `exim4` is this one; its output, or RigError."""
        return run(text.replace("exim4 ", f"/usr/sbin/chroot {self.root} /usr/sbin/exim4 "), self.directory)
