"""The group `bounces`: MTAs of four kinds return a carrier, and its sender reads which message it was.

    client -> gateway 1 -> [relayed] -> MTA -> sink `far` that refuses
    sink `home` <- gateway 1 <- [returned] <- MTA
"""

import re

from . import cases, checks, smtp
from .chain import ONE, TWO, passed
from .exim import DebianExim
from .gateway import Gateway
from .opensmtpd import OpenSmtpd
from .postfix import Postfix
from .process import wait_for
from .sendmail import Sendmail
from .sink import Profile, Sink
from .tap import Tap

HOST = "relay.example"
REFUSALS = {
    # what is refused -> how the sink is told
    "rcpt": "550 5.1.1 no such user here",
    "dot": "554 5.7.1 this message is not wanted",
}
SIZES = {"small": 10, "large": 2000}  # lines; large: above what MTAs return whole, and where OpenSMTPD begins to cut


class Way:
    """Gateway 1 with an MTA as the relay behind it, which refuses what its own next hop refuses."""

    def __init__(self, setting, name, make):
        self.rig, self.name, self.sealed = setting.rig, f"bounces/{name}", True
        self.home = Sink(self.rig, f"{name}/home")
        self.far = Sink(self.rig, f"{name}/far", Profile())
        self.gateway = Gateway(self.rig, f"{self.name}/gateway", setting.keys[0])
        self.returned = Tap(self.rig, f"{name}/returned", self.gateway.outside_port)
        self.mta = make(self.rig, f"{self.name}/mta", self.returned.port, self.far.port)
        self.relayed = Tap(self.rig, f"{name}/relayed", self.mta.port)
        self.gateway.start(f"smtp://127.0.0.1:{self.home.port}", f"smtp://127.0.0.1:{self.relayed.port}", setting.dns)

    def logs(self, lines=15):
        """As `Chain.logs`."""
        text = []
        for server in (self.gateway, self.mta):
            text += [f"--- {server.name}", *server.log_text().splitlines()[-lines:]]
        return "\n".join(text)


def postfix(rig, name, home, far, **settings):
    return Postfix(
        rig, name, f"smtp:[127.0.0.1]:{far}", relay_domains=ONE, relay_transport=f"smtp:[127.0.0.1]:{home}",
        myhostname=HOST, smtpd_recipient_restrictions="permit_mynetworks", **settings,
    )


def impatient(rig, name, home, far):
    """Tells senders of a delay after a second."""
    return postfix(rig, name, home, far, delay_warning_time="1s")


def exim(rig, name, home, far):
    return DebianExim(rig, name, HOST, {}, {ONE: home, TWO: far})


def opensmtpd(rig, name, home, far):
    return OpenSmtpd(rig, name, HOST, ONE, home, far, "")


def sendmail(rig, name, home, far):
    return Sendmail(rig, name, HOST, ONE, home, far)


MTAS = {"postfix": postfix, "exim": exim, "opensmtpd": opensmtpd, "sendmail": sendmail}


def returned(way, message, sender, refusal):
    """The bounce as the MTA writes it, and the transaction in which it came."""
    if refusal == "rcpt":
        way.far.profile.rcpt[message.to] = REFUSALS["rcpt"]
    else:
        way.far.profile.dot.append(REFUSALS["dot"])
    smtp.send(way.gateway.inside_port, sender, [message.to], message.data)
    carrier = passed(way.relayed, message.to)
    bounce = passed(way.returned, sender)
    checks.require(bounce.mail == "", f"the bounce comes from {bounce.mail}")
    return carrier, bounce


def readable(way, message, refusal):
    """The sender reads the Message-ID of the message, who it was for and what the far side said, and no blob."""
    sender = f"{message.name}@{ONE}"
    carrier, bounce = returned(way, message, sender, refusal)
    (token,) = re.findall(rb"^MTA-Seal-Token: (\w+)\r$", carrier.data, re.M)
    checks.require(token in bounce.data, "the bounce has not the token")
    (told,) = wait_for("the notice", lambda: way.home.messages(sender), 15)
    (identity,) = re.findall(rb"^Message-ID: (<[^>]+>)\r$", message.data, re.M)
    for what in (identity, message.to.encode(), REFUSALS[refusal][4:].encode(), HOST.encode(), b"unsealed"):
        checks.require(what in re.sub(rb"\r\n[ \t]+", b" ", told.data), f"the notice has no {what!r}:\n{told.data.decode(errors='replace')}")
    for what in (token, b"application/mta-seal", b"Sealed message"):
        checks.require(what not in told.data, f"the notice has {what!r}")
    checks.sealed_from(message.canaries, bounce.data, "the bounce")
    return f"{len(bounce.data)} octets"


def bounces(setting, report, name):
    """Each MTA with a small and a large carrier, refused at RCPT and after DATA."""
    maker = setting.maker()
    for title, make in MTAS.items():
        made = []
        if not report.case(f"{name}/{title} starts", lambda: made.append(Way(setting, title, make))):
            continue
        (way,) = made
        for refusal in REFUSALS:
            for size, lines in SIZES.items():
                message = maker.make(f"{title}-{refusal}-{size}", maker.text(lines))
                report.case(f"{name}/{title}: {refusal}, {size}", lambda: readable(way, message, refusal), way)


BUSY = "451 4.2.1 mailbox is busy, try again"
# What `tests/bounces` has: the MTA, and what it is refused.
SAMPLES = [
    (postfix, [("rcpt", "small"), ("dot", "large")]),
    (exim, [("rcpt", "small"), ("dot", "large")]),
    (opensmtpd, [("rcpt", "small")]),
    (sendmail, [("rcpt", "small"), ("dot", "large")]),
    (impatient, [("delayed", "small")]),
]


def samples(setting):
    """Bounces of carriers from alice to bob: names and octets."""
    maker, alice = setting.maker(), cases.ALICE
    for make, refusals in SAMPLES:
        way = Way(setting, f"sample-{make.__name__}", make)
        title = "postfix" if make is impatient else make.__name__
        for refusal, size in refusals:
            message = maker.make(f"{make.__name__}-{refusal}", maker.text(SIZES[size]), user="bob")
            way.far.profile.rcpt.pop(message.to, None)
            if refusal == "dot":
                way.far.profile.dot.append(REFUSALS["dot"])
            else:
                way.far.profile.rcpt[message.to] = REFUSALS.get(refusal, BUSY)
            before = len(way.returned.transactions(alice))
            smtp.send(way.gateway.inside_port, alice, [message.to], message.data)
            bounce = wait_for("the bounce", lambda: way.returned.transactions(alice)[before:])[0]
            yield f"{title}-{refusal}{'-headers' if size == 'large' else ''}", bounce.data


cases.GROUPS["bounces"] = bounces
cases.NEED_GATEWAYS.add("bounces")
