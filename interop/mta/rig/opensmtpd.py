"""Debian's OpenSMTPD in a root of its own."""

import os

from .process import Process, free_port, run
from .root import Root

QUEUE_GID = 64992  # opensmtpq in the root's own group file; written by `install`

_BEFORE = """
listen on 127.0.0.1 port {port}
action "home" relay host "smtp://127.0.0.1:{home}"
match from any for domain "{domain}" action "home"
"""

# The rig's other clients come from loopback too, but for this OpenSMTPD that is `from local`.
_AFTER = """
action "relay" relay host "smtp://127.0.0.1:{other}"
match from local for any action "relay"
"""


class OpenSmtpd:
    """Relays `domain` to port `home`, what `lines` leave to port `other`."""

    def __init__(self, rig, name, hostname, domain, home, other, lines):
        self.rig, self.name = rig, name
        self.directory = rig.make_directory(name)
        self.root, self.port = Root(rig.home, "opensmtpd", self.directory / "root").path, free_port()
        for path in ("var/spool", "var/run"):
            (self.root / path).mkdir(parents=True, exist_ok=True)
        (self.root / "var/spool").chmod(0o711)  # smtpd insists
        # As Debian's package does when it is configured.
        os.chown(self.root / "usr/sbin/smtpctl", 0, QUEUE_GID)
        (self.root / "usr/sbin/smtpctl").chmod(0o2755)
        (self.root / "etc/mailname").write_text(f"{hostname}\n")
        (self.root / "etc/smtpd.conf").write_text(
            _BEFORE.format(port=self.port, home=home, domain=domain) + lines + _AFTER.format(other=other)
        )
        self.process = Process(
            rig, name, ["/usr/sbin/chroot", self.root, "/usr/sbin/smtpd", "-d"], self.directory
        )
        self.process.wait_port(self.port)

    def run(self, text):
        """Runs a line of shell in which `smtpctl` is this one's; its output, or RigError."""
        return run(text.replace("smtpctl ", f"/usr/sbin/chroot {self.root} /usr/sbin/smtpctl "), self.directory)

    def log_text(self):
        return self.process.output.read_text(errors="replace")
