"""The group `bypass`: `mta-seal bypass --probe` beside a real Postfix, well placed and not.

    probe -> Postfix (its alias fails) -> bounce -> gateway -> sink `relay`        by default_transport: sealed
    probe -> Postfix -> gateway -> [returned] -> Postfix (its alias fails) -> bounce -> sink `world`   by content_filter: in clear
"""

import re
import subprocess

from . import checks
from .chain import CLEAR, ONE, TWO, passed
from .gateway import Gateway
from .postfix import Lines, Postfix
from .process import free_port, wait_for
from .sink import Sink
from .tap import Tap

BOB = f"bob@{TWO}"
# EX_NOUSER: accepted, then bounced. Without the colon of aliases(5), for it is read as a `texthash:`.
ALIAS = 'probe "|exit 67"\n'


class Site:
    """A gateway, the Postfix before it, and where mail goes that has passed the gateway (`relay`) or not (`world`)."""

    def __init__(self, setting, name):
        self.rig, self.name = setting.rig, f"bypass/{name}"
        self.relay, self.world = Sink(self.rig, f"{name}/relay"), Sink(self.rig, f"{name}/world")
        self.gateway = Gateway(self.rig, f"{self.name}/gateway", setting.keys[0])
        self.dns = setting.dns

    def start(self, next_hop, domain, way, main="", master=""):
        """Starts both; Postfix delivers `domain` itself and all else by `way`."""
        self.recipient = f"probe@{domain}"
        self.gateway.start(f"smtp://127.0.0.1:{self.world.port}", f"smtp://127.0.0.1:{next_hop}", self.dns)

        def lines(conf):
            aliases = f"alias_maps = texthash:{conf}/aliases\n"
            return Lines(main=aliases + main, master=master, files={"aliases": ALIAS})

        self.postfix = Postfix(
            self.rig, f"{self.name}/postfix", f"smtp:[127.0.0.1]:{way}", lines=lines, mydestination=domain,
            delay_warning_time="4h",
        )

    def bypass(self, patience):
        """Exit status and text of the command."""
        done = subprocess.run(
            [
                self.gateway.keys.binary, "bypass", "--config", self.gateway.config, "--postconf-dir", self.postfix.conf,
                "--probe", f"smtp://127.0.0.1:{self.postfix.port}", "--bounce-to", BOB, "--recipient", self.recipient,
                "--patience", patience,
            ],
            capture_output=True, text=True, env=self.postfix.environment(),
        )
        return done.returncode, done.stdout + done.stderr

    def logs(self, lines=15):
        """As `Chain.logs`."""
        text = []
        for server in (self.gateway, self.postfix):
            text += [f"--- {server.name}", *server.log_text().splitlines()[-lines:]]
        return "\n".join(text)


def by_transport(site):
    """By `default_transport` the bounce is sealed, and everything is found well."""
    site.start(site.relay.port, ONE, site.gateway.inside_port)
    status, said = site.bypass("30s")
    checks.require("ok       probe: the bounce left sealed" in said, said)
    checks.require("ok       postfix default_transport:" in said, said)
    checks.require("FAIL" not in said and "warning" not in said and status == 0, f"exit {status}: {said}")
    (bounce,) = wait_for("the bounce", lambda: site.relay.messages(BOB))
    checks.require(bounce.mail == "", f"bounce from {bounce.mail}")
    checks.require(b"application/mta-seal" in bounce.data[:8192].lower(), "it is no carrier")
    checks.sealed_from(["mta-seal probe"], bounce.data, "the bounce")
    checks.require(not site.world.messages(), "something went past the gateway")


def by_filter(site):
    """By `content_filter` the probe itself takes the gateway and its bounce does not: it leaves in clear, and that is said."""
    back = free_port()
    returned = Tap(site.rig, f"{site.name}/returned", back)
    site.start(
        # Of a domain without keys, so that the probe itself comes back from the gateway as it is.
        returned.port, CLEAR, site.world.port,
        main=f"content_filter = smtp:[127.0.0.1]:{site.gateway.inside_port}\n",
        master=f"127.0.0.1:{back} inet n - n - - smtpd -o content_filter=\n",
    )
    status, said = site.bypass("5s")
    checks.require(f"FAIL     probe: no bounce for {BOB} came to the gateway" in said, said)
    checks.require("FAIL     postfix content_filter:" in said and "FAIL     postfix default_transport:" in said, said)
    checks.require(status == 1, f"exit {status}: {said}")
    # Postfix does send through the gateway: what the MTA makes itself is all that goes past it.
    probe = passed(returned, site.recipient)
    checks.require(probe.mail == BOB, f"probe from {probe.mail}")
    subject = re.search(rb"^Subject: (mta-seal probe [0-9a-f]+)\r$", probe.data, re.M)
    checks.require(subject, f"the gateway sent no probe on: {probe.data[:500]!r}")
    (bounce,) = wait_for("the bounce", lambda: site.world.messages(BOB))
    checks.require(bounce.mail == "", f"bounce from {bounce.mail}")
    checks.require(bool(checks.visible(subject[1].decode(), bounce.data)), "the bounce is not the probe's")
    went = [t for t in returned.transactions() if t is not probe]
    checks.require(not went, f"the gateway sent more than the probe: {[t.rcpt for t in went]}")


def bypass(setting, report, name):
    """Each placement with a gateway and a Postfix of its own."""
    for title, check in (("by a transport, a probe's bounce is sealed", by_transport),
                         ("by a content filter, a probe's bounce is missed", by_filter)):
        sites = []

        def case(check=check, sites=sites):
            sites.append(Site(setting, check.__name__.replace("_", "-")))
            check(sites[0])

        report.case(f"{name}/{title}", case)
