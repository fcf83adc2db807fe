"""The group `recipes`: every recipe of `docs/recipes` on the real MTA, by its very lines.

Outgoing: client -> MTA of the recipe -> [handed] -> gateway 1 -> [relayed] -> gateway 2 -> sink `inside`.
Incoming: client -> gateway 2 -> [arriving] -> MTAs and gateway 1 as the recipe places them.

Gateway 1 runs with the recipe's `[outbound]` and `[inbound]`. All outgoing recipes run side by side, for a
partner whose DNS fails must come back only once for all: gateways remember a failure for half a minute.
"""

import re
import time
from pathlib import Path

from . import cases, checks, shown, smtp
from .blocks import Moved, Recipes
from .chain import ONE, TWO, passed
from .dns import Dns
from .dovecot import Dovecot
from .exim import DebianExim
from .gateway import Gateway, Keys
from .opensmtpd import OpenSmtpd
from .postfix import Lines, Postfix
from .process import RigError, free_port, wait_for
from .sink import Profile, Sink
from .tap import Tap

DOCUMENTS = Path(__file__).resolve().parents[3] / "docs/recipes"
THREE, OTHER = "company3.example", "other.example"  # THREE: its DNS fails first; OTHER: no partner
BROKEN = f"broken@{ONE}"  # accepted by the front MTA, refused behind it
REFUSED = f"nosuchuser@{TWO}"
ALICE = cases.ALICE


class Shared:
    """What all recipes have on the other side: DNS, gateway 2 for two companies, what stands behind it."""

    def __init__(self, setting):
        self.rig, (self.keys, self.peer_keys) = setting.rig, setting.keys
        self.sealed, self.maker, self.recipes = True, setting.maker(), Recipes(DOCUMENTS)
        three = Keys(setting.rig, self.keys.binary, THREE)
        lines = {keys.domain: keys.zone for keys in [*setting.keys, three]}
        self.three = lines[THREE]
        self.dns = Dns(self.rig, "recipes/dns", {**lines, OTHER: []}, setting.dns.signed, failing=[THREE])
        self.inside = Sink(self.rig, "inside", Profile(rcpt={REFUSED: "550 5.1.1 no such user"}))
        self.other = Sink(self.rig, "other", Profile(rcpt={BROKEN: "550 5.1.1 no such user"}))  # next hop for clear mail, and the exit of clear mail
        self.gateway = Gateway(self.rig, "recipes/gateway2", setting.keys[1], three)
        self.arriving = Tap(self.rig, "arriving", self.other.port)
        self.gateway.start(
            f"smtp://127.0.0.1:{self.inside.port}", f"smtp://127.0.0.1:{self.arriving.port}", self.dns
        )


class Outgoing:
    """One way out of company 1; has what `cases.check_message` needs of a chain."""

    def __init__(self, shared, name, document, gateway_block, lmtp=False, relay=None, address="127.0.0.1"):
        self.shared, self.rig, self.name = shared, shared.rig, f"recipes/{name}"
        self.document, self.sealed, self.inside = document, True, shared.inside
        self.home = Sink(self.rig, f"{name}/home", Profile(rcpt={BROKEN: "550 5.1.1 no such user"}))
        self.gateway = Gateway(self.rig, f"{self.name}/gateway1", shared.keys)
        self.handed = Tap(self.rig, f"{name}/handed", self.gateway.inside_port, lmtp, address)
        self.relayed = Tap(self.rig, f"{name}/relayed", shared.gateway.outside_port)
        move = Moved(relay or {"relay.company1.example:25": f"127.0.0.1:{self.relayed.port}"})
        own = {"10025": self.gateway.inside_port, "192.0.2.25": "127.0.0.1", "192.0.2.10": "127.0.0.1"}
        section = Moved({**move.table, **own})(document.block(gateway_block).text)
        self.gateway.start(
            f"smtp://127.0.0.1:{self.home.port}", None, shared.dns, sections={"outbound": section}
        )
        self.ports = {"10025": self.handed.port}

    def arrival(self, address, seconds=30.0):
        """As `Chain.arrival`."""
        found = wait_for(f"mail to {address}", lambda: self.inside.messages(address), seconds)
        if len(found) != 1:
            raise RigError(f"{len(found)} messages for {address}")
        return found[0].data

    def handed_over(self, address, seconds=30.0):
        """As `Chain.handed_over`."""
        return passed(self.handed, address, seconds)

    def logs(self, lines=15):
        """As `Chain.logs`."""
        text = []
        for server in (self.mta, self.gateway, self.shared.gateway):
            text += [f"--- {server.name}", *server.log_text().splitlines()[-lines:]]
        return "\n".join(text)

    where = None  # what the recipe's command of that name must show
    forwards = False  # whether the MTA tells its queue id by XFORWARD

    @property
    def chosen(self):
        """Whether only the partners named take this way."""
        return self.name.endswith("-chosen")

    @property
    def port(self):
        return self.mta.port

    def command(self, block):
        """Runs a command of the recipe on this MTA."""
        return self.mta.run(self.move(self.document.block(block).text))

    def queue(self):
        return self.command("queue")


class PostfixOut(Outgoing):
    """A Postfix with the blocks named; `ways`: main.cf, master.cf, transport and hosts blocks."""

    def __init__(self, shared, name, blocks, gateway_block, lmtp=False, moved=None):
        document = shared.recipes["postfix-outbound"]
        exit_port = free_port()
        super().__init__(
            shared, name, document, gateway_block, lmtp,
            {"10026": exit_port} if "exit-master" in blocks else None,
        )
        move = Moved({**self.ports, "4h": "1s", **(moved or {})})
        if "exit-master" in blocks:
            move.table |= {
                "10026": str(exit_port), "content_filter=exit:": f"content_filter=exit:[127.0.0.1]:{self.relayed.port}",
                "10027": str(self.gateway.outside_port),
            }

        def lines(conf):
            move.table["/etc/postfix"] = str(conf)
            made = Lines()
            for block in map(document.block, ("delay", *blocks)):
                text = move(block.text)
                if block.what == "/etc/postfix/main.cf":
                    made.main += text
                elif block.what == "/etc/postfix/master.cf":
                    made.master += text
                elif block.what == "/etc/hosts":
                    made.hosts += text
                else:
                    made.files[Path(block.what).name] = text
            return made

        self.mta = Postfix(
            self.rig, f"{self.name}/postfix", f"smtp:[127.0.0.1]:{shared.other.port}", lines=lines,
            relay_domains=ONE, relay_transport=f"smtp:[127.0.0.1]:{self.home.port}",
        )
        if "exit-bounces" in blocks:
            self.mta.process.stop()
            self.mta.run(move(document.block("exit-services").text))
            self.mta.start()
        self.move, self.forwards = move, not self.chosen
        if any(block.endswith("-transport") for block in blocks):
            self.where = "seal:inet:company2.seal.internal" if lmtp else "smtp:[127.0.0.1]"


class EximOut(Outgoing):
    """An Exim with the blocks named."""

    def __init__(self, shared, name, blocks, gateway_block, lmtp=False):
        # Exim takes no address of its own host as smart host; loopback has more than are on an interface.
        smart = "127.0.0.2"
        address = smart if "smarthost" in blocks else "127.0.0.1"
        super().__init__(shared, name, shared.recipes["exim"], gateway_block, lmtp, address=address)
        self.move = Moved({**self.ports, "4h": "1s", "192.0.2.25": smart})
        files = {}
        for block in map(self.document.block, ("delay", *blocks)):
            files[block.what] = files.get(block.what, "") + self.move(block.text)
        self.where = "router = smarthost" if "smarthost" in blocks else "router = mta_seal"
        ahead = {ONE: self.home.port, **({OTHER: shared.other.port} if self.chosen else {})}
        self.mta = DebianExim(self.rig, f"{self.name}/exim", f"mx.{ONE}", files, ahead)


class OpenSmtpdOut(Outgoing):
    """An OpenSMTPD with the blocks named."""

    def __init__(self, shared, name, blocks):
        super().__init__(shared, name, shared.recipes["opensmtpd"], "gateway", True)
        self.move = Moved({**self.ports, "4h": "1s"})
        lines = "".join(self.move(self.document.block(block).text) for block in blocks)
        self.mta = OpenSmtpd(
            self.rig, f"{self.name}/opensmtpd", f"mx.{ONE}", ONE, self.home.port, shared.other.port, lines
        )


class Incoming:
    """One way into company 1: client -> peer gateway -> [arriving] -> gateway 1, the recipe's MTAs about it."""

    def __init__(self, shared, name):
        self.shared, self.rig, self.name = shared, shared.rig, f"recipes/{name}"
        self.peer = Gateway(self.rig, f"{self.name}/peer", shared.peer_keys)
        self.gateway = Gateway(self.rig, f"{self.name}/gateway1", shared.keys)
        self.relayed = Tap(self.rig, f"{name}/relayed", self.peer.outside_port)
        self.handed = Tap(self.rig, f"{name}/handed", self.gateway.inside_port)
        self.servers, self.edge = [self.peer, self.gateway], None
        self.ports = {"10025": self.handed.port, "10027": self.gateway.outside_port, "10028": free_port(), "10024": free_port()}
        self.port, self.inside = self.peer.inside_port, shared.inside

    def begin(self, document, blocks, entry, more=None):
        """Starts both gateways: gateway 1 with the blocks named; `entry`: port where the world comes in."""
        # Not from 127.0.0.1, which MTAs trust.
        self.arriving = Tap(self.rig, f"{self.name}/arriving", entry, source="127.0.0.3")
        move = Moved({
            **self.ports, "10025": self.gateway.inside_port, "0.0.0.0:25": f"127.0.0.1:{self.gateway.outside_port}",
            "relay.company1.example:25": f"127.0.0.1:{self.relayed.port}", **(more or {}),
        })
        sections = {}
        for block in blocks:
            text = move(document.block(block).text)
            sections["inbound" if "[inbound]" in text else "outbound"] = text
        self.gateway.start("smtp://127.0.0.1:1", f"smtp://127.0.0.1:{self.relayed.port}", self.shared.dns, sections=sections)
        self.peer.start(
            f"smtp://127.0.0.1:{self.inside.port}", f"smtp://127.0.0.1:{self.arriving.port}", self.shared.dns
        )

    def lines(self, document, blocks):
        """The `Lines` of a Postfix, from blocks of a recipe."""
        move = Moved(self.ports)
        found = [document.block(block) for block in blocks]
        return lambda conf: Lines(
            main="".join(move(b.text) for b in found if b.what == "/etc/postfix/main.cf"),
            master="".join(move(b.text) for b in found if b.what == "/etc/postfix/master.cf"),
        )

    def edge_postfix(self, document):
        """The recipe's edge; nobody is in its networks, recipients are verified without much delay."""
        edge = Postfix(
            self.rig, f"{self.name}/edge", lines=self.lines(document, ["edge-main"]),
            mynetworks="192.0.2.0/24", address_verify_poll_delay="1s",
        )
        self.servers.append(edge)
        self.edge = edge
        return edge

    def arrival(self, address, seconds=30.0):
        """As `Chain.arrival`, at the peer's side: bounces go there."""
        return Outgoing.arrival(self, address, seconds)

    def handed_over(self, address, seconds=30.0):
        """As `Chain.handed_over`, of what the inner MTA sends."""
        return passed(self.handed, address, seconds)

    def logs(self, lines=15):
        """As `Chain.logs`."""
        text = []
        for server in self.servers:
            text += [f"--- {server.name}", *server.log_text().splitlines()[-lines:]]
        return "\n".join(text)


def postfix_in(shared, name, edge):
    """A Postfix that delivers, behind an edge Postfix or behind the gateway as MX."""
    way, document = Incoming(shared, name), shared.recipes["postfix-inbound"]
    dead_end = f"smtp:[127.0.0.1]:{shared.other.port}"
    inner = Postfix(
        way.rig, f"{way.name}/inner", mailbox_domain=ONE, users=["carol", "broken"], transports=[(BROKEN, dead_end)],
        lines=way.lines(document, ["inner-master", "inner-main"]),
    )
    shown = inner.run(Moved(way.ports)(document.block("settings").text))
    checks.require(shown.rstrip().endswith("mynetworks ="), f"settings: {shown}")
    way.servers.append(inner)
    way.mailbox, way.bounces = inner.mailbox, True
    entry = way.edge_postfix(document).port if edge else way.gateway.outside_port
    way.begin(document, ["gateway-edge" if edge else "gateway-mx", "gateway-out"], entry)
    return way


def dovecot_in(shared, name, unix):
    """Dovecot behind an edge Postfix by its socket, or behind the gateway as MX by TCP."""
    way, document = Incoming(shared, name), shared.recipes["postfix-to-dovecot"]
    move = Moved({**way.ports, "user = mta-seal": "user = nobody", "group = mta-seal": "group = nogroup"})
    lines = move(document.block("dovecot-unix" if unix else "dovecot-tcp").text)
    dovecot = Dovecot(way.rig, f"{way.name}/dovecot", ONE, ["carol"], lines)
    shown = dovecot.run(document.block("settings").text)
    checks.require("mta-seal {" in shown, f"settings: {shown}")
    way.servers.append(dovecot)
    way.mailbox, way.bounces = dovecot.mailbox, False
    entry = way.edge_postfix(document).port if unix else way.gateway.outside_port
    way.begin(
        document, ["gateway-unix" if unix else "gateway-tcp"], entry, {"/run/dovecot": f"{dovecot.directory}/run"}
    )
    return way


def exim_in(shared, name):
    """An Exim as the edge; the inner MTA is a sink that knows one recipient."""
    way, document = Incoming(shared, name), shared.recipes["exim"]
    inner = Sink(way.rig, f"{name}/inner", Profile(rcpt={f"nosuchuser@{ONE}": "550 5.1.1 no such user"}))
    way.ports["10028"] = inner.port
    move, files = Moved(way.ports), {}
    for block in map(document.block, ("relay-domains", "router-in", "transport-in", "callout")):
        files[block.what] = files.get(block.what, "") + move(block.text)
    edge = DebianExim(way.rig, f"{way.name}/edge", f"mx.{ONE}", files, {})
    way.servers.append(edge)
    way.mailbox, way.bounces = lambda address: [t.data for t in inner.messages(address)], False
    way.begin(document, ["gateway-in"], edge.port)
    return way


def start_incoming(shared):
    """Every way in, by name."""
    return {
        "postfix behind an edge": lambda: postfix_in(shared, "in-edge", True),
        "postfix behind the gateway": lambda: postfix_in(shared, "in-mx", False),
        "dovecot behind an edge": lambda: dovecot_in(shared, "in-dovecot-unix", True),
        "dovecot behind the gateway": lambda: dovecot_in(shared, "in-dovecot-tcp", False),
        "exim as the edge": lambda: exim_in(shared, "in-exim"),
    }


def unsealed(way, message):
    """Sealed when it arrives, in the mailbox octet for octet behind trace fields."""
    smtp.send(way.port, message.mail, [message.to], message.data)
    (arrived,) = wait_for("mail", lambda: way.mailbox(message.to), 15)
    carrier = passed(way.arriving, message.to)
    checks.sealed_from(message.canaries, carrier.data, "the copy that arrives")
    trace = checks.same_but_trace(arrived, message.data, 1)
    result = next(octets for name, octets in trace if name == b"authentication-results")
    checks.require(b"mta-seal=pass" in result, f"result: {result!r}")
    if way.edge:
        named(way.edge, way.gateway, message.to, "message is passed on")


def unknown(way, message):
    """Refused while the peer is still there: this side has nothing to bounce."""
    address = f"nosuchuser@{ONE}"
    try:
        smtp.send(way.port, message.mail, [address], message.data)
    except smtp.ReplyError as error:
        checks.require(error.reply.startswith("550"), f"answered {error.reply}")
    else:
        raise checks.Failed("accepted")


def inner_bounce(way, message, sender):
    """The inner MTA accepts, fails and bounces: what it writes goes out sealed."""
    smtp.send(way.port, sender, [BROKEN], message.data)
    bounced(way, message, sender)


def start(shared):
    """Every way out, by name."""
    return {
        "postfix lmtp": lambda: PostfixOut(
            shared, "postfix-lmtp", ("lmtp-main", "lmtp-master", "lmtp-transport", "lmtp-hosts"), "gateway-lmtp", True
        ),
        "postfix smtp": lambda: PostfixOut(shared, "postfix-smtp", ("smtp",), "gateway-smtp"),
        "postfix relayhost": lambda: PostfixOut(
            shared, "postfix-relayhost", ("relayhost",), "gateway-smtp"
        ),
        "postfix chosen": lambda: PostfixOut(
            shared, "postfix-chosen", ("chosen-main", "chosen-transport"), "gateway-smtp"
        ),
        "postfix exit": lambda: PostfixOut(
            shared, "postfix-exit",
            ("lmtp-main", "lmtp-master", "lmtp-transport", "lmtp-hosts", "exit-master", "exit-bounces"),
            "gateway-exit", True,
        ),
        "exim smarthost": lambda: EximOut(shared, "exim-smarthost", ("smarthost",), "gateway-smarthost"),
        "exim router": lambda: EximOut(shared, "exim-router", ("router", "transport"), "gateway-router", True),
        "exim chosen": lambda: EximOut(shared, "exim-chosen", ("router-chosen", "transport"), "gateway-router", True),
        "opensmtpd": lambda: OpenSmtpdOut(shared, "opensmtpd", ("smtpd",)),
        "opensmtpd chosen": lambda: OpenSmtpdOut(shared, "opensmtpd-chosen", ("chosen",)),
    }


def waits(way, message):
    """Handed to the MTA while the partner's DNS fails: it stays there, nothing of it goes out."""
    cases.inject(way, message)
    wait_for("a deferral", lambda: message.to in way.queue() and refused(way, message.to), 15)
    checks.require(not way.relayed.transactions(message.to), "it went out all the same")
    seen = way.queue()
    checks.require(message.to in seen, f"not in the queue: {seen}")
    if way.forwards:  # it is not known by any other way before the header
        named(way.mta, way.gateway, message.to, "recipient refused")


def named(mta, gateway, address, what):
    """The gateway's line `what` about the message for this recipient has its queue id at the MTA before."""

    def same():
        ids = set(re.findall(rf"(\w+): to=<{re.escape(address)}>", mta.log_text()))
        return ids.intersection(re.findall(rf'\bqueue="?(\w+)"?\}}: {what}', gateway.log_text()))

    wait_for(f"the queue id of the mail to {address} in both logs", same, 10)


def refused(way, address):
    """Whether the gateway has answered 4xx for this recipient."""
    return any(path == address and reply.startswith("4") for path, reply in way.handed.refused[:])


def notice(way):
    """The MTA has told the sender that the message waits."""
    told = wait_for("the delay notice", lambda: way.home.messages(ALICE), 15)[0]
    checks.require(told.mail == "", f"notice from {told.mail}")
    checks.require(THREE.encode() in told.data, "it does not name the recipient")


def comes_back(way, message):
    """The DNS answers again: the message leaves the queue, sealed, once."""

    def arrived():
        way.command("flush")
        if not way.inside.messages(message.to):
            time.sleep(1)
        return way.inside.messages(message.to)

    wait_for(f"mail to {message.to}", arrived, 45)
    cases.check_message(way.shared, way, message, 5)


def through(way, message):
    """Sealed on its way, and the recipe's own commands show where it goes."""
    cases.inject(way, message)
    cases.check_message(way.shared, way, message, 15)
    if way.where:
        shown = way.command("where")
        checks.require(way.where in shown, f"no {way.where} in: {shown}")


def mixed(way, message):
    """Two recipients of one message, one unknown at the other side: each gets its own answer."""
    before = len(way.home.messages(ALICE))
    smtp.send(way.port, ALICE, [message.to, REFUSED], message.data)
    way.arrival(message.to)
    bounce = wait_for("the bounce", lambda: way.home.messages(ALICE)[before:], 15)[0]
    checks.require(REFUSED.encode() in bounce.data and b"550" in bounce.data, "the bounce does not tell why")
    time.sleep(1)  # for a second copy, by a queue run of every second
    way.arrival(message.to)


def told(way, message):
    """The other side refuses what this MTA brings it after sealing: its bounce is told in words."""
    sender = f"told@{ONE}"
    smtp.send(way.port, sender, [REFUSED], message.data)
    notice = wait_for("the notice", lambda: way.home.messages(sender), 15)[0]
    (identity,) = re.findall(rb"^Message-ID: (<[^>]+>)\r$", message.data, re.M)
    for what in (identity, REFUSED.encode(), b"550", b"came unsealed"):
        checks.require(what in notice.data, f"the notice has no {what!r}")
    checks.require(b"application/mta-seal" not in notice.data, "the notice has the carrier")
    checks.require(notice.mail == "", f"notice from {notice.mail}")


def others(way, message):
    """Mail for a domain that is no partner: past the gateway if the recipe says so, else through it, in clear."""
    cases.inject(way, message)
    if way.chosen:
        wait_for("the clear message", lambda: way.shared.other.messages(message.to), 15)
        checks.require(message.to.encode() not in way.handed.wire(), "the gateway has seen it")
    else:  # gateway 2 will not take it, but that is another matter
        wait_for("the clear message", lambda: f"<{message.to}>".encode() in way.handed.wire(), 15)


def own_bounce(way, message, sender):
    """The MTA accepts, fails and bounces: what it writes goes out sealed."""
    smtp.send(way.port, sender, [BROKEN], message.data)
    bounced(way, message, sender)


def bounced(way, message, sender):
    """The DSN arrives at the other side, and was sealed on its way there."""
    arrived = way.arrival(sender)
    checks.require(message.canaries[0].encode() in arrived, "the bounce has not the message")
    handed = way.handed_over(sender)
    checks.require(handed.mail == "", f"bounce from {handed.mail}")
    checks.require(checks.visible(message.canaries[0], handed.data), "nothing to be seen of it before the gateway")
    trace = checks.same_but_trace(arrived, handed.data, 1)
    checks.require(b"mta-seal=pass" in dict(trace)[b"authentication-results"], "not authenticated")
    carrier = passed(way.relayed, sender)
    checks.sealed_from(message.canaries, carrier.data, "the relay's copy of the bounce")


def recipes(setting, report, name):
    """All recipes; last, that no block was left out."""
    made = []
    if not report.case(f"{name}/start", lambda: made.append(Shared(setting))):
        return
    (shared,) = made
    canaries = []

    def message(title, domain=TWO, **more):
        made = shared.maker.make(title.replace(" ", "-"), shared.maker.text(20), domain=domain, **more)
        canaries.extend(made.canaries)
        return made

    ways, waiting = {}, {}

    def case(title, what, function):
        """A case of one way; the others of a way that failed would only wait in vain."""
        if title in ways and not report.case(f"{name}/{title}: {what}", function, ways[title]):
            del ways[title]

    for title, maker in start(shared).items():
        report.case(f"{name}/{title} starts", lambda: ways.__setitem__(title, maker()))
    for title, way in list(ways.items()):
        waiting[title] = message(f"{title}-waits", THREE)
        case(title, "a partner's DNS fails", lambda: waits(way, waiting[title]))
    for title, way in list(ways.items()):
        case(title, "the sender is told", lambda: notice(way))
    report.case(f"{name}/the DNS answers again", lambda: shared.dns.set(THREE, shared.three))
    for title, way in list(ways.items()):
        case(title, "sealed", lambda: through(way, message(f"{title}-sealed")))
        sender = f"{title.replace(' ', '-')}@{TWO}"
        case(title, "its own bounce is sealed", lambda: own_bounce(way, message(f"{title}-bounced"), sender))
        case(title, "one of two recipients is unknown", lambda: mixed(way, message(f"{title}-mixed")))
        if title == "postfix exit":
            case(title, "a carrier that is refused behind it", lambda: told(way, message(f"{title}-told")))
        case(title, "the way of others", lambda: others(way, message(f"{title}-other", OTHER)))
    for title, way in list(ways.items()):
        case(title, "what waited arrives", lambda: comes_back(way, waiting[title]))

    for title, maker in start_incoming(shared).items():
        report.case(f"{name}/{title} starts", lambda: ways.__setitem__(title, maker()))
        if title not in ways:
            continue
        way = ways[title]
        mail = f"{way.name.split('/')[-1]}@{TWO}"
        case(title, "unsealed", lambda: unsealed(way, message(f"{title}-unsealed", ONE, mail=mail, user="carol")))
        case(title, "an unknown recipient", lambda: unknown(way, message(f"{title}-unknown", ONE, mail=mail)))
        if way.bounces:
            one = message(f"{title}-bounced", ONE, mail=mail)
            case(title, "its own bounce is sealed", lambda: inner_bounce(way, one, mail))

    shown.shown(report, name, lambda title: Incoming(shared, title), shared)

    def no_block_left():
        left = shared.recipes.unused()
        checks.require(not left, "blocks that no test runs: " + "; ".join(map(str, left)))

    report.case(f"{name}/every block was run", no_block_left)


cases.GROUPS["recipes"] = recipes
cases.NEED_GATEWAYS.add("recipes")
