"""Debian's sendmail in a root of its own."""

import os

from .process import Process, free_port, run
from .root import Root

UIDS = {"smmta": 64993, "smmsp": 64994}  # in the root's own passwd; written by `install`

# Debian's own sendmail.mc but for what keeps clients waiting or needs tables, and where mail goes.
_MC = """
define(`_USE_ETC_MAIL_')dnl
include(`/usr/share/sendmail/cf/m4/cf.m4')dnl
OSTYPE(`debian')dnl
DOMAIN(`debian-mta')dnl
FEATURE(`no_default_msa')dnl
DAEMON_OPTIONS(`Family=inet, Name=MTA-v4, Port={port}, Addr=127.0.0.1')dnl
define(`confPRIVACY_FLAGS',`needmailhelo,needexpnhelo,needvrfyhelo,restrictqrun,restrictexpand,nobodyreturn,authwarnings')dnl
define(`confDOMAIN_NAME', `{hostname}')dnl
define(`confDONT_PROBE_INTERFACES', `true')dnl
FEATURE(`nocanonify')dnl
FEATURE(`accept_unresolvable_domains')dnl
FEATURE(`promiscuous_relay')dnl
MAILER_DEFINITIONS
MAILER(`local')dnl
MAILER(`smtp')dnl
Mhome, P=[IPC], F=mDFMuXa8, S=EnvFromSMTP/HdrFromSMTP, R=EnvToSMTP, E=\\r\\n, L=990, T=DNS/RFC822/SMTP, A=TCP [127.0.0.1] {home}
Mother, P=[IPC], F=mDFMuXa8, S=EnvFromSMTP/HdrFromSMTP, R=EnvToSMTP, E=\\r\\n, L=990, T=DNS/RFC822/SMTP, A=TCP [127.0.0.1] {other}
LOCAL_RULE_0
R$* < @ {domain} > $*\t$#home $@ [127.0.0.1] $: $1 < @ {domain} > $2
R$* < @ {domain} . > $*\t$#home $@ [127.0.0.1] $: $1 < @ {domain} > $2
R$* < @ $+ > $*\t$#other $@ [127.0.0.1] $: $1 < @ $2 > $3
"""


class Sendmail:
    """Relays `domain` to port `home`, everything else to port `other`."""

    def __init__(self, rig, name, hostname, domain, home, other):
        self.rig, self.name = rig, name
        self.directory = rig.make_directory(name)
        self.root, self.port = Root(rig.home, "sendmail", self.directory / "root").path, free_port()
        for path in ("var/spool/mqueue", "var/lib/sendmail/host_status", "var/run/sendmail/mta", "etc/mail/m4"):
            (self.root / path).mkdir(parents=True, exist_ok=True)
        for path in ("var/spool/mqueue", "var/lib/sendmail", "var/lib/sendmail/host_status", "var/run/sendmail/mta"):
            os.chown(self.root / path, UIDS["smmta"], UIDS["smmsp"])
            (self.root / path).chmod(0o750)
        (self.root / "etc/mail/local-host-names").write_text("localhost\n")
        (self.root / "etc/hosts").write_text(f"127.0.0.1 localhost {hostname}\n")
        (self.root / "etc/mail/sendmail.mc").write_text(
            _MC.format(port=self.port, hostname=hostname, domain=domain, home=home, other=other).lstrip()
        )
        run(f"/usr/sbin/chroot {self.root} /usr/bin/m4 /etc/mail/sendmail.mc > {self.root}/etc/mail/sendmail.cf", self.directory)
        self.process = Process(
            rig, name,
            ["/usr/sbin/chroot", self.root, "/usr/libexec/sendmail/sendmail", "-bD", "-q1s", "-X", "/tmp/traffic"],
            self.directory,
        )
        self.process.wait_port(self.port)

    def log_text(self):
        """What it said to its peers, for it logs by syslog only."""
        traffic = self.root / "tmp/traffic"
        return traffic.read_text(errors="replace") if traffic.exists() else self.process.output.read_text(errors="replace")
