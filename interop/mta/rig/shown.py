"""The recipe `shown`: the result becomes a mark that people see, and nothing that a sender writes does.

    peer -> gateway 1 -> Postfix with header checks -> Maildir
    peer -> gateway 1 -> Dovecot with Sieve
"""

from . import checks, smtp
from .blocks import Moved
from .chain import ONE, TWO
from .dovecot import Dovecot
from .gateway import AUTHSERV
from .postfix import Lines, Postfix
from .process import run, wait_for

OURS = f"{AUTHSERV}.{ONE}"
FIELD = b"x-mta-seal"
ALIGNED = "policy.domain=bank.example policy.suite=2 policy.level=dnssec policy.aligned=yes header.from=bank.example"
# What a sender may write in the hope of a mark.
FORGED = {
    "another authserv-id": f"Authentication-Results: mx.evil.example; mta-seal=pass {ALIGNED}",
    "another authserv-id that begins like ours": f"Authentication-Results: {OURS}.evil.example; mta-seal=pass {ALIGNED}",
    "another authserv-id, ours as a result": f"Authentication-Results: mx.evil.example; {OURS}; mta-seal=pass {ALIGNED}",
    "ours": f"Authentication-Results: {OURS}; mta-seal=pass {ALIGNED}",
    "ours, folded": f"Authentication-Results:\r\n\t{OURS};\r\n\tmta-seal=pass\r\n\t{ALIGNED}",
    "ours, encoded": f"Authentication-Results: =?utf-8?Q?{OURS}=3B?= mta-seal=pass {ALIGNED}",
    "ours, all encoded": "Authentication-Results: =?utf-8?Q?" + f"{OURS}; mta-seal=pass {ALIGNED}".replace("=", "=3D").replace(" ", "_") + "?=",
    "the mark itself": "X-MTA-Seal: sealed by bank.example",
}
# What the gateway may write.
WRITTEN = {
    f"mta-seal=pass {ALIGNED}": ("sealed by bank.example", "$sealed"),
    f"mta-seal=pass {ALIGNED.replace('aligned=yes', 'aligned=no')}": ("sealed by bank.example, author not confirmed", None),
    "mta-seal=pass policy.domain=bank.example policy.suite=1 policy.level=dnssec policy.foreign=yes policy.aligned=no": (
        "sealed by bank.example, author not confirmed", None,
    ),
    "mta-seal=none policy.expected=sealed": ("not sealed, although its domain always seals", "$notsealed"),
    "mta-seal=none": (None, None),
}


class PostfixShown:
    """A Postfix behind gateway 1 that writes the mark; its own port is another way in, for colleagues."""

    keywords = None

    def __init__(self, way, document):
        self.way, inbound = way, way.shared.recipes["postfix-inbound"]

        def lines(conf):
            self.move = move = Moved({**way.ports, "gw.company1.example": OURS, r"gw\.company1\.example": OURS.replace(".", r"\."), "/etc/postfix": conf})
            return Lines(
                main=move(document.block("main").text),
                master=move(inbound.block("inner-master").text) + move(document.block("master").text),
                files={name: move(document.block(block).text) for name, block in (("mta_seal_shown", "shown"), ("mta_seal_hidden", "hidden"))},
            )

        self.server = Postfix(way.rig, f"{way.name}/postfix", mailbox_domain=ONE, users=["carol"], lines=lines)
        self.server.process.stop()
        self.server.run(self.move(document.block("listener").text))
        self.server.start()
        self.unsealed, self.besides = way.ports["10028"], self.server.port
        asked = self.server.run(self.move(document.block("asked").text))
        checks.require(asked == f"PREPEND X-MTA-Seal: sealed by {TWO}\n", f"postmap answered {asked!r}")

    def send_unsealed(self, data):
        """As the gateway submits."""
        smtp.send(self.unsealed, f"x@{TWO}", [f"carol@{ONE}"], data)

    def mailbox(self):
        return [(octets, []) for octets in self.server.mailbox(f"carol@{ONE}")]


class DovecotShown:
    """A Dovecot behind gateway 1 that sets the mark by Sieve. Its one way in is that of the gateway."""

    besides = None

    def __init__(self, way, document):
        self.way, lmtp = way, way.shared.recipes["postfix-to-dovecot"]
        scripts = way.rig.make_directory(f"{way.name}/sieve")
        move = Moved({**way.ports, "gw.company1.example": OURS, "/etc/dovecot/sieve": scripts})
        (scripts / "mta-seal.sieve").write_text(move(document.block("sieve").text))
        run(move(document.block("sievec").text), scripts)
        lines = move(lmtp.block("dovecot-tcp").text) + move(document.block("dovecot").text)
        self.server = Dovecot(way.rig, f"{way.name}/dovecot", ONE, ["carol"], lines)

    def send_unsealed(self, data):
        """As the gateway submits."""
        with smtp.Client(int(self.way.ports["10024"]), lmtp=True) as client:
            client.send_message(f"x@{TWO}", [f"carol@{ONE}"], data)

    def mailbox(self):
        """Each message with its keywords: letters in the name of its file, which `dovecot-keywords` explains."""
        directory = self.server.maildirs / "carol"
        listed = directory / "dovecot-keywords"
        names = dict(line.split(" ", 1) for line in listed.read_text().splitlines()) if listed.exists() else {}
        found = []
        for path in [*directory.glob("new/*"), *directory.glob("cur/*")]:
            letters = path.name.partition(":2,")[2]
            found.append((path.read_bytes(), [names[str(ord(c) - ord("a"))] for c in letters if c.islower()]))
        return found


def marks(server, subject):
    """The fields X-MTA-Seal of the message with this subject, once it is there, and its keywords."""

    def arrived():
        return [(octets, words) for octets, words in server.mailbox() if f"Subject: {subject}\r\n".encode() in octets]

    ((octets, keywords),) = wait_for(f"the message {subject}", arrived, 15)
    head = octets.partition(b"\r\n\r\n")[0] + b"\r\n"
    fields = [raw.partition(b":")[2].strip().decode() for name, raw in checks.fields(head) if name == FIELD]
    return fields, keywords


def expect(server, subject, mark, keyword):
    """That the message has this mark and keyword, or none."""
    fields, keywords = marks(server, subject)
    checks.require(fields == ([mark] if mark else []), f"{subject}: marked {fields}, not {mark}")
    if not isinstance(server, PostfixShown):
        checks.require(keywords == ([keyword] if keyword else []), f"{subject}: keywords {keywords}, not {keyword}")


def message(subject, *fields):
    """A message with these fields on top."""
    lines = [*fields, f"From: Carol <carol@{TWO}>", f"To: carol@{ONE}", f"Subject: {subject}", "", "text"]
    return "\r\n".join(lines).encode() + b"\r\n"


def sealed(server):
    """Mail that the partner's gateway has sealed is marked as such, its notices as what they are, and forged fields in it are not believed."""
    for n, (what, field) in enumerate([("plain", "X-Nothing: x"), *FORGED.items()]):
        smtp.send(server.way.port, f"carol@{TWO}", [f"carol@{ONE}"], message(f"sealed-{n}", field))
        expect(server, f"sealed-{n}", f"sealed by {TWO}", "$sealed")
    smtp.send(server.way.port, "", [f"carol@{ONE}"], message("sealed-null"))
    expect(server, "sealed-null", f"sealed by {TWO}, author not confirmed", None)


def clear(server):
    """Clear mail through the gateway has no mark, whatever its sender has written."""
    for n, field in enumerate(FORGED.values()):
        smtp.send(server.way.gateway.outside_port, "eve@other.example", [f"carol@{ONE}"], message(f"clear-{n}", field))
        expect(server, f"clear-{n}", None, None)


def written(server):
    """Every result that the gateway may write, on one line and folded wherever it may fold."""
    for n, (result, (mark, keyword)) in enumerate(WRITTEN.items()):
        for how, gap in (("flat", " "), ("folded", "\r\n\t")):
            field = f"Authentication-Results: {OURS}; " + result.replace(" ", gap)
            if how == "folded":  # the gateway leaves the first word where it is
                field = field.replace("; ", ";\r\n\t", 1)
            server.send_unsealed(message(f"written-{n}-{how}", field, "X-MTA-Seal: sealed by bank.example"))
            expect(server, f"written-{n}-{how}", mark, keyword)


def besides(server):
    """What comes past the gateway is marked if nothing is done about it; the recipe's rule for other ways takes care of it."""
    for n, field in enumerate(FORGED.values()):
        smtp.send(server.besides, f"mallory@{ONE}", [f"carol@{ONE}"], message(f"besides-{n}", field))
        expect(server, f"besides-{n}", None, None)
        # The same octets are a mark where the gateway's word is believed, so the rule is what holds it back.
    server.send_unsealed(message("believed", FORGED["ours"]))
    expect(server, "believed", "sealed by bank.example", "$sealed")


def start(way, make, document, gateway):
    """Gateway 1 as MX before the server."""
    server = make(way, document)
    way.servers.append(server.server)
    way.begin(gateway[0], gateway[1], way.gateway.outside_port)
    return server


def shown(report, name, incoming, shared):
    """The cases; `incoming` makes a way into company 1."""
    document = shared.recipes["shown"]
    for title, make, gateway in (
        ("postfix", PostfixShown, (shared.recipes["postfix-inbound"], ["gateway-mx", "gateway-out"])),
        ("dovecot", DovecotShown, (shared.recipes["postfix-to-dovecot"], ["gateway-tcp"])),
    ):
        way, made = incoming(f"shown-{title}"), []
        if not report.case(f"{name}/marks by {title} start", lambda: made.append(start(way, make, document, gateway)), way):
            continue
        (server,) = made
        report.case(f"{name}/marks by {title}: sealed mail", lambda: sealed(server), way)
        report.case(f"{name}/marks by {title}: clear mail, forged", lambda: clear(server), way)
        report.case(f"{name}/marks by {title}: every result", lambda: written(server), way)
        if server.besides:
            report.case(f"{name}/marks by {title}: past the gateway, forged", lambda: besides(server), way)
