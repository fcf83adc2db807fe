"""The two companies and the relay between them.

    client -> Postfix 1 -> [handed] -> gateway 1 -> [relayed] -> Exim -> [delivered] -> gateway 2 -> inside 2
    home sink <- gateway 1 <- Exim <- [returned] <- gateway 2 <- Postfix 2 (its bounces)

In square brackets: recording taps. Without gateways Postfix 1 hands to Exim and Exim to inside 2.
Exim sends mail for any other domain to the sink `clear`.
"""

from .dovecot import Dovecot
from .exim import Exim
from .gateway import Gateway
from .postfix import Postfix
from .process import RigError, wait_for
from .sink import Profile, Sink
from .tap import Tap

ONE, TWO, CLEAR, NOWHERE = "company1.example", "company2.example", "clear.example", "nowhere.example"


class Chain:
    """`inside`: what stands behind gateway 2: `dovecot`, `dovecot-unix`, `postfix` or `sink`; `dkim`: what signs carriers of gateway 1."""

    def __init__(self, rig, name, dns, inside, users=(), keys=None, relay=True, dkim=()):
        self.rig, self.name, self.dns = rig, name, dns
        self.gateways = []
        lmtp = inside.startswith("dovecot")
        self.home = Sink(rig, "home")
        refuse = "550 5.1.1 no such user"
        self.clear = Sink(rig, "clear", Profile(rcpt={f"nobody@{NOWHERE}": refuse, f"broken@{TWO}": refuse}))
        one = two = None
        if keys:
            one = Gateway(rig, f"{name}/gateway1", keys[0])
            two = Gateway(rig, f"{name}/gateway2", keys[1])
            self.gateways = [one, two]

        back = f"smtp:[127.0.0.1]:{two.inside_port if two else self.home.port}"
        dead_end = f"smtp:[127.0.0.1]:{self.clear.port}"
        if lmtp:
            self.inside = Dovecot(rig, f"{name}/dovecot", TWO, users)
        elif inside == "postfix":
            self.inside = Postfix(
                rig, f"{name}/postfix2", back, TWO, [*users, "broken"],
                transports=[(f"broken@{TWO}", dead_end)],
            )
        else:
            self.inside = Sink(rig, "inside", Profile())
        hop = f"{'lmtp' if lmtp else 'smtp'}://127.0.0.1:{self.inside.port}"
        if inside == "dovecot-unix":
            hop = f"lmtp+unix:{self.inside.socket}"

        if two:
            self.delivered = Tap(rig, "delivered", two.outside_port)
        else:
            upstream = self.inside.socket if inside == "dovecot-unix" else self.inside.port
            self.delivered = Tap(rig, "delivered", upstream, lmtp)
        self.exim = None
        if relay:
            self.exim = Exim(
                rig,
                f"{name}/exim",
                {
                    TWO: (self.delivered.port, "lmtp" if lmtp and not two else "smtp"),
                    ONE: (one.outside_port if one else self.home.port, "smtp"),
                    "*": (self.clear.port, "smtp"),
                },
            )
        beyond = self.exim.port if self.exim else self.delivered.port
        self.relayed = Tap(rig, "relayed", beyond)
        self.handed = Tap(rig, "handed", one.inside_port if one else self.relayed.port)
        self.returned = Tap(rig, "returned", self.exim.port if self.exim else self.home.port)
        if one:
            one.start(f"smtp://127.0.0.1:{self.home.port}", f"smtp://127.0.0.1:{self.relayed.port}", dns, dkim)
            two.start(hop, f"smtp://127.0.0.1:{self.returned.port}", dns)
        self.postfix = None
        if relay:
            self.postfix = Postfix(
                rig,
                f"{name}/postfix1",
                f"smtp:[127.0.0.1]:{self.handed.port}",
                transports=[(NOWHERE, dead_end)],
            )
        self.port = self.postfix.port if self.postfix else self.handed.port

    def mailbox(self, address):
        """What inside 2 holds for this address, as octets."""
        if isinstance(self.inside, Sink):
            return [t.data for t in self.inside.messages(address)]
        return self.inside.mailbox(address)

    def arrival(self, address, seconds=30.0):
        """Waits for mail at an address of company 2 and returns it; RigError unless it is one."""
        found = wait_for(f"mail to {address}", lambda: self.mailbox(address), seconds)
        if len(found) != 1:
            raise RigError(f"{len(found)} messages for {address}")
        return found[0]

    def handed_over(self, address, seconds=30.0):
        """The one transaction with this recipient that Postfix 1 handed over and saw accepted."""
        return passed(self.handed, address, seconds)

    def wait_empty(self, seconds=30.0):
        """Waits until no MTA has anything queued."""
        servers = [s for s in (self.postfix, self.exim, self.inside) if hasattr(s, "queued")]
        wait_for("empty queues", lambda: not any(server.queued() for server in servers), seconds)

    def logs(self, lines=15):
        """The last log lines of every server, for a failed case."""
        text = []
        for server in (self.postfix, *self.gateways, self.exim, self.inside):
            if hasattr(server, "log_text"):
                text.append(f"--- {server.name}")
                text += server.log_text().splitlines()[-lines:]
        return "\n".join(text)


def passed(tap, address, seconds=30.0):
    """Waits for an accepted transaction with this recipient on a tap; RigError unless it is one."""
    # Mail is in the mailbox before the answers have come back through all hops.
    accepted = wait_for(
        f"the transaction for {address} to end ({tap.name})",
        lambda: [t for t in tap.transactions(address) if t.accepted],
        seconds,
    )
    if len(accepted) != 1:
        raise RigError(f"{len(accepted)} transactions for {address} ({tap.name})")
    return accepted[0]
