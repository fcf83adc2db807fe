"""Debian's Exim in a root of its own: the relay between the companies."""

import os
import shutil

from .process import Process, RigError, free_port

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
        self.rig, self.name = rig, name
        if not (rig.home / "exim.done").exists():
            raise RigError("no Exim: run interop/mta/install")
        self.directory = rig.make_directory(name)
        self.root = self.directory / "root"
        self.port = free_port()
        shutil.copytree(rig.home / "exim", self.root, symlinks=True, ignore=_no_devices)
        os.mknod(self.root / "dev/null", 0o020666, os.makedev(1, 3))
        os.mknod(self.root / "dev/urandom", 0o020666, os.makedev(1, 9))
        for device in ("null", "urandom"):
            os.chmod(self.root / "dev" / device, 0o666)  # mknod obeys the umask
        for path in ("var/spool/exim4", "var/log/exim4"):
            (self.root / path).mkdir(parents=True, exist_ok=True)
            os.chown(self.root / path, EXIM_UID, EXIM_UID)
        self.spool, self.logs = self.root / "var/spool/exim4", self.root / "var/log/exim4"
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
        return "\n".join(path.read_text(errors="replace") for path in self.logs.glob("*log"))


def _no_devices(directory, names):
    return names if directory.endswith("/dev") else ()
