"""Live cells: two running gateways, a hop between them, scripted DNS. Only the program under test has a gateway; a library
joins on the one side, by the same tasks as offline."""

import re
import time
from pathlib import Path

from . import canary, carrier, gateways, relays, wire
from .cases import BOTH, ONE, Case, message_of, versions_of_senders
from .cells import FAILED, PASSED, Cell
from .contract import Task, b64, octets
from .encoders import ENCODERS
from .judge import judge, spelt
from .parties import NEWER, NEXT, OLDER, SENDER, SUITES, WINDOW, own_keys, preferred, texts_of
from .wire import rig

GATEWAY = "gateway"
LEFT, RIGHT = "left.example", "right.example"
CLEAR, REQUIRED, UNKNOWN, REMEMBERED = "clear.example", "required.example", "unknown.example", BOTH
STEPS = 6  # groups of live cells, for the progress bar
SPEC = Path(__file__).resolve().parents[3] / "spec" / "draft-mta-seal.md"
TRACE = re.compile(rb"(?:(?:Received|Authentication-Results):[^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*)+")
XTEXT = re.compile(r"\+([0-9A-F]{2})")  # RFC 3461, section 4
FORGED = f"Authentication-Results: gateway.{RIGHT}; mta-seal=pass header.d=evil.example\r\n".encode()


def replies_of_the_draft(path=SPEC):
    """Code and status by failure, from the table of [R-smtp-01]."""
    rows = re.findall(r"^\| ([a-z0-9-]+) \| ([45]\d\d \d\.\d+\.\d+) \|", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {**dict(rows), "delivered-before": "250", "none": "250"}


class Failed(Exception):
    """A cell does not hold."""


def require(holds, text):
    """Fails a cell unless it holds."""
    if not holds:
        raise Failed(text)


def results_in(message):
    """The Authentication-Results fields of a message, unfolded."""
    header = (message.partition(b"\r\n\r\n")[0] + b"\r\n").replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ")
    return re.findall(rb"(?im)^Authentication-Results:[^\r\n]*", header)


# The same words in every message of a run: one look finds what any of them has shown.
PURPOSES = ("from-name", "from", "to-name", "to", "subject", "body", "file-name", "attached", "envid", "orcpt")
CANARIES = tuple(canary.make(purpose) for purpose in PURPOSES)
CANARY = dict(zip(PURPOSES, CANARIES))
ENVID = f" ENVID={CANARY['envid']}"
ORCPT = f" ORCPT=rfc822;{CANARY['orcpt']}@{CANARY['orcpt']}.example"
WAIT = 60  # seconds for what a gateway sends when it likes


def none_in(place, octets_, known, canaries):
    """Fails a cell if a canary is found there, or what must be found is not."""
    require(known, "no carrier has come through, so that nothing is known to have been seen")
    try:
        found = canary.Record(octets_).find([known, *canaries])
    except canary.TooMuch as error:
        raise Failed(f"{place}: {error}") from None
    require(found.pop(known), f"{place} has not seen {known!r}, so that the search is worth nothing")
    seen = [f"{word} ({', '.join(ways)})" for word, ways in found.items() if ways]
    require(not seen, f"{place} has seen {', '.join(seen)}")


def hiding(encoder):
    """A message in which each canary stands under one encoding, and nowhere else."""
    pieces = [encoder.encode(word.encode()) for word in CANARIES]
    if not encoder.makes_text:
        pieces = [b64(piece).encode() for piece in pieces]
    lines = re.sub(rb"\r?\n", b"\r\n", b"\r\n\r\n".join(pieces))
    return f"From: u@{LEFT}\r\nSubject: hidden\r\n\r\n".encode() + lines + b"\r\n"


class Shape:
    """A message that a client hands over, with canaries; its SMTP parameters, and what of them must arrive."""

    def __init__(self, name, body=b"", mail="", rcpt=("",), sender_path=f"<u@{LEFT}>", short=False):
        self.name, self.mail, self.rcpt, self.sender_path, self.short = name, mail, rcpt, sender_path, short
        word = CANARY
        self.message = (
            f"From: {word['from-name']} <{word['from']}@{LEFT}>\r\nTo: {word['to-name']} <{word['to']}@inner.example>\r\n"
            f"Subject: {word['subject']}\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=inner\r\n\r\n"
            f"--inner\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{word['body']}\r\n".encode()
            + body
            + b"\r\n--inner\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n"
            + f"Content-Disposition: attachment; filename={word['file-name']}.txt\r\n\r\n".encode()
            + b64(word["attached"].encode() * 3).encode()
            + b"\r\n--inner--\r\n"
        )

    def outer(self, domain):
        """What of MAIL and RCPT a hop is shown: neither ENVID nor ORCPT [R-seal-04]."""
        paths = self.sender_path + "".join(self.recipients(domain))
        mail = [one for one in self.mail.split() if one.startswith("RET=")] + ["SMTPUTF8"] * (not paths.isascii())
        rcpt = [
            " ".join(one for one in line.split() if not one.startswith("ORCPT=")) for line in self.recipients(domain)
        ]
        return " ".join([self.sender_path, *mail]), rcpt

    def recipients(self, domain):
        """The arguments of RCPT."""
        return [f"<v{number}@{domain}>{more}" for number, more in enumerate(self.rcpt)]


def _in_xtext(parameter):
    """A parameter with its canary in xtext."""
    name, _, value = parameter.partition("=")
    return f"{name}={canary.in_xtext(value)}"


def shapes(short):
    """What clients hand over to the gateway that seals."""
    made = [
        Shape("plain", short=True),
        Shape("empty body part", b"", short=False),
        Shape("dots", b".\r\n..\r\n.x\r\n", short=True),
        Shape("100,000 octets", message_of(100000), short=False),
        Shape("5 MiB", message_of(5 * 2**20)),
        Shape("8BITMIME", "na\u00efve\r\n".encode(), " BODY=8BITMIME", short=True),
        Shape("SMTPUTF8", mail=" SMTPUTF8 BODY=8BITMIME", sender_path=f"<\u00fc@{LEFT}>", short=True),
        Shape("null reverse-path", sender_path="<>", short=True),
        Shape("RET ENVID", mail=f" RET=HDRS{ENVID}", short=True),
        Shape("NOTIFY ORCPT", rcpt=(f" NOTIFY=SUCCESS,FAILURE{ORCPT}", " NOTIFY=NEVER", ORCPT), short=True),
        Shape("ENVID and ORCPT in xtext", mail=_in_xtext(ENVID), rcpt=(_in_xtext(ORCPT),), short=True),
        Shape("every parameter", mail=f" BODY=8BITMIME SMTPUTF8 RET=FULL{ENVID}", rcpt=(f" NOTIFY=DELAY{ORCPT}",)),
        Shape("50 recipients", rcpt=("",) * 50),
    ]
    return [shape for shape in made if shape.short or not short]


class Live:
    """The rig, and all cells in it."""

    def __init__(self, runner, cells, progress, options, folder):
        self.runner, self.cells, self.progress, self.options = runner, cells, progress, options
        self.replies = replies_of_the_draft()
        self.opened = []
        self.dns = self._open(gateways.Dns())
        names = ("relay", "inside", "home", "back")
        self.relay, self.inside, self.home, self.back = (self._open(wire.Server(name)) for name in names)
        self.onward = wire.Record("from the relay on")
        self.through = None  # a carrier that has passed every place: where no canary is found, this is
        self.notice = None  # and one that has gone back
        try:
            binary = options.bin
            places = {"relay": self.relay.port, "local": self.home.port, "dns": self.dns.port}
            more = f'[[partner]]\ndomain = "{REQUIRED}"\npolicy = "require"'
            self.left = self._open(gateways.Gateway(binary, folder, LEFT, places, more))
            places = {"relay": self.back.port, "local": self.inside.port, "dns": self.dns.port}
            self.right = self._open(gateways.Gateway(binary, folder, RIGHT, places))
        except BaseException:
            self.close()
            raise
        published = texts_of(SENDER, BOTH, ONE, OLDER, NEWER, NEXT, SUITES)
        self.dns.publish([*self.left.records, *self.right.records, *published])

    def _open(self, one):
        self.opened.append(one)
        return one

    def close(self):
        """Ends everything, what was started last first."""
        for one in reversed(self.opened):
            one.close()

    def _cell(self, row, column, name, run, *arguments):
        """One live cell: `run` raises Failed, or it holds."""
        name = f"live {name}"
        if self.options.only not in name:
            return
        self.progress.begin(f"live: {row} to {column}")
        begun, status, detail = time.monotonic(), PASSED, ""
        try:
            run(*arguments)
        except (Failed, relays.NotChanged, canary.TooMuch, OSError) as error:
            status, detail = FAILED, str(error) or type(error).__name__
        self.cells.add(Cell(row, column, name, GATEWAY, status, detail, time.monotonic() - begun))

    # --- gateway to gateway ---

    def _sealed(self, shape, domain=RIGHT):
        """Has the left gateway seal a message: the carrier as the relay took it."""
        before = len(self.relay.mails)
        reply = rig.send(self.left.inside, shape.sender_path + shape.mail, shape.recipients(domain), shape.message)
        require(reply.startswith("250"), f"the sealing gateway answers {reply}")
        require(len(self.relay.mails) == before + 1, "the relay has taken no message, or several")
        return self.relay.mails[-1]

    def _hand_on(self, mail, recipients=None, octets_=None, path=None):
        """The relay hands a carrier on: the reply of the unsealing gateway, and what came out inside."""
        before = len(self.inside.mails)
        path = path or mail.sender.partition(b":")[2].decode()
        to = recipients or [one.partition(b":")[2].decode() for one in mail.recipients]
        reply = rig.send(self.right.outside, path, to, mail.octets if octets_ is None else octets_, self.onward)
        return reply, self.inside.mails[before:]

    def _arrived(self, message, arrived, verdict=b"mta-seal=pass"):
        """The message is there but for trace fields, with one result of the gateway and no forged one."""
        if message and not message.endswith(b"\r\n"):
            message += b"\r\n"  # DATA forces it on the last line
        require(arrived.endswith(message), "the message differs")
        trace = arrived[: len(arrived) - len(message)]
        require(TRACE.fullmatch(trace), f"before it stands {trace[:80]!r}")
        ours = [one for one in results_in(arrived) if f"gateway.{RIGHT}".encode() in one]
        require(len(ours) == 1 and verdict in ours[0], f"the results are {ours}")

    def pair(self):
        """Shapes from the left gateway to the right one."""
        for shape in shapes(self.options.short):
            self._cell(GATEWAY, GATEWAY, f"unseal {shape.name}", self._through, shape)
        self._cell(GATEWAY, GATEWAY, "forged results inside", self._forged_inside)
        self._cell(GATEWAY, GATEWAY, "relay leaves within DATA", self._left_within_data)
        self._cell(GATEWAY, GATEWAY, "parameters of a hop", self._hop_with_parameters)
        self._cell(GATEWAY, GATEWAY, "notification about one recipient", self._notified)

    def _through(self, shape):
        mail = self._sealed(shape)
        try:
            made = carrier.read(mail.octets, LEFT, RIGHT)
        except carrier.BadForm as wrong:
            raise Failed(str(wrong)) from None
        self._shown(mail, *shape.outer(RIGHT))
        reply, arrived = self._hand_on(mail)
        self._whole(shape, reply, arrived)
        self.through = made

    @staticmethod
    def _shown(mail, sender_path, recipients):
        """MAIL and RCPT are these, whatever the order of their parameters."""
        given = [f"MAIL FROM:{sender_path}".encode()], [f"RCPT TO:{one}".encode() for one in recipients]
        for lines, wanted in zip(([re.sub(rb" SIZE=\d+", b"", mail.sender)], mail.recipients), given):
            require(_parameters(lines) == _parameters(wanted), f"{lines} is there, not {wanted}")

    def _whole(self, shape, reply, arrived):
        """The message has come out, once, with all of its SMTP envelope."""
        require(reply.startswith("250"), f"the unsealing gateway answers {reply}")
        require(len(arrived) == 1, f"{len(arrived)} messages come out")
        self._arrived(shape.message, arrived[0].octets)
        self._shown(arrived[0], shape.sender_path + shape.mail, shape.recipients(RIGHT))

    def _hop_with_parameters(self):
        """A hop sets parameters of its own, as some do with ORCPT: what was signed counts [R-uns-03]."""
        shape = Shape("parameters", mail=f" RET=HDRS{ENVID}", rcpt=(f" NOTIFY=SUCCESS{ORCPT}", ""))
        mail = self._sealed(shape)
        path, to = shape.outer(RIGHT)
        to = [f"{one.split()[0]} NOTIFY=NEVER ORCPT=rfc822;hop@hop.example" for one in to]
        reply, arrived = self._hand_on(mail, to, path=f"{path.split()[0]} RET=FULL ENVID=hop")
        self._whole(shape, reply, arrived)

    def _notified(self):
        """A recipient that was not signed is told of in a notification, which is sealed too [R-uns-10]: it has ENVID and ORCPT."""
        shape = Shape("notified", mail=ENVID, rcpt=(f" NOTIFY=FAILURE{ORCPT}",))
        mail = self._sealed(shape)
        reply, arrived = self._hand_on(mail, [*shape.outer(RIGHT)[1], f"<other@{RIGHT}>"])
        require(reply.startswith("250") and len(arrived) == 1, f"the unsealing gateway answers {reply}")
        require(self.back.wait(1, WAIT), "no notification goes back")
        back = self.back.mails[-1]
        try:
            self.notice = carrier.read(back.octets, RIGHT, LEFT)
        except carrier.BadForm as wrong:
            raise Failed(str(wrong)) from None
        before = len(self.home.mails)
        to = [one.partition(b":")[2].decode() for one in back.recipients]
        reply = rig.send(self.left.outside, back.sender.partition(b":")[2].decode(), to, back.octets)
        require(reply.startswith("250") and len(self.home.mails) == before + 1, f"the sealing gateway answers {reply}")
        require(CANARY["envid"].encode() in self.home.mails[-1].octets, "the notification has no ENVID")

    def _forged_inside(self):
        shape = Shape("forged")
        plain, shape.message = shape.message, FORGED + shape.message
        reply, arrived = self._hand_on(self._sealed(shape))
        require(reply.startswith("250"), reply)
        self._arrived(plain, arrived[0].octets)

    def _left_within_data(self):
        mail = self._sealed(Shape("left"))
        before = len(self.inside.mails)
        path = mail.sender.partition(b":")[2].decode()
        half = mail.octets[: len(mail.octets) // 2]
        wire.abandon(self.right.outside, path, [f"<v0@{RIGHT}>"], half, self.onward)
        require(len(self.inside.mails) == before, "half a message has come out")
        reply, arrived = self._hand_on(mail)
        require(reply.startswith("250") and len(arrived) == 1, f"and then whole: {reply}")

    def relays(self):
        """Each hop between the two gateways."""
        for relay in relays.RELAYS:
            if relay.live:
                self._cell(f"relay {relay.name}", GATEWAY, f"relay {relay.name} after {GATEWAY}", self._relayed, relay)

    def _relayed(self, relay):
        shape = Shape("relayed", message_of(3000), ENVID, (ORCPT,))
        mail = self._sealed(shape)
        recipients = None
        if relay.name == "replayed":
            reply, arrived = self._hand_on(mail)
            require(reply.startswith("250") and len(arrived) == 1, f"the first time: {reply}")
        if relay.name == "redirected":
            recipients = [f"<other@{RIGHT}>"]
        carrier = relay.apply(mail.octets)
        reply, arrived = self._hand_on(mail, recipients, carrier)
        failure = relay.expected["failure"] if relay.expected else None
        wanted = self.replies[failure] if failure else "250"
        require(reply.startswith(wanted), f"answered {reply}, not {wanted}")
        if failure is None:
            require(len(arrived) == 1, f"{len(arrived)} messages come out")
            self._arrived(shape.message, arrived[0].octets)
        elif failure == "none":
            # Ordinary mail is passed on as it came, and called that.
            self._arrived(carrier, arrived[0].octets, b"mta-seal=none")
            require(not canary.Record(arrived[0].octets).any(CANARIES), "it has been unsealed")
        else:
            require(not arrived, "it has come out all the same")

    # --- a library on the one side ---

    def from_peers(self, peers):
        """What each peer seals, into the right gateway."""
        for peer in peers:
            if "seal" in peer.kinds:
                self._from_peer(peer)

    def _from_peer(self, peer):
        recipient = f"v@{RIGHT}"
        made = [Case("plain", domain=RIGHT)]
        if not peer.other:
            made += [Case("100,000 octets", message_of(100000), RIGHT), *versions_of_senders(RIGHT)]
        tasks = []
        for case in made:
            tasks.append(case.seal(records=self.right.task_records(), now=int(time.time())))
        # A key that the gateway has destroyed is one that it never had, here.
        failure = peer.refused and {"destroyed-key": "unknown-key"}.get(peer.refused["failure"], peer.refused["failure"])
        self.runner.run(peer, tasks)
        for case, task in zip(made, tasks):
            status, detail = judge(peer, task, {"result": "done"})
            if status != PASSED:
                self.cells.add(Cell(peer.name, GATEWAY, f"live seal {case.name}", peer.name, status, detail))
                continue
            answer = case.rejection["failure"] if case.rejection else failure
            self._cell(peer.name, GATEWAY, f"unseal {case.name}", self._taken, task, case, recipient, answer)

    def _taken(self, task, case, recipient, failure):
        before = len(self.inside.mails)
        carrier = octets(task.result["carrier"])
        reply = rig.send(self.right.outside, f"<u@{case.sender}>", [f"<{recipient}>"], carrier)
        wanted = self.replies[failure] if failure else "250"
        require(reply.startswith(wanted), f"answered {reply}, not {wanted}")
        arrived = self.inside.mails[before:]
        if failure:
            require(not arrived, "it has come out all the same")
        else:
            require(len(arrived) == 1, f"{len(arrived)} messages come out")
            self._arrived(case.message, arrived[0].octets)

    def to_peers(self, peers):
        """What the left gateway seals, for each peer to unseal."""
        made = []
        for domain in (BOTH, ONE, NEWER):
            for shape in shapes(self.options.short)[:4]:
                self._cell(GATEWAY, "seals", f"seal {shape.name}, {domain}", self._keep, shape, domain, made)
        for peer in peers:
            if "unseal" in peer.kinds and not peer.hostile:
                self._to_peer(peer, made)

    def _keep(self, shape, domain, made):
        made.append((shape, domain, self._sealed(shape, domain)))

    def _to_peer(self, peer, made):
        tasks = []
        for shape, domain, mail in made:
            given = {
                "carrier": b64(mail.octets),
                "own_keys": own_keys(domain),
                "records": self.left.task_records(),
                "now": int(time.time()),
                "window": WINDOW,
                "recipients": [f"v{number}@{domain}" for number in range(len(shape.rcpt))],
                "claims": [],
            }
            tasks.append(Task("unseal", given))
        self.runner.run(peer, tasks)
        for task, (shape, domain, _) in zip(tasks, made):
            expected = {
                "result": "done",
                "message": b64(shape.message),
                "sender_domain": LEFT,
                "recipient_domain": domain,
                "suite": preferred(domain)["suite"],
                "key_id": preferred(domain)["key_id"],
                "foreign": False,
                "refused_recipients": [],
            }
            name = f"live unseal {shape.name}, {domain}"
            if self.options.only in name:
                self.cells.add(Cell(GATEWAY, peer.name, name, peer.name, *judge(peer, task, expected)))

    # --- DNS ---

    def scripted_dns(self):
        """What the sealing gateway does while somebody answers for DNS."""
        row = "DNS"
        self._cell(row, GATEWAY, "policy stripped, sealing required", self._answered, REQUIRED, "policy-required")
        self.dns.failing.add(UNKNOWN)
        self._cell(row, GATEWAY, "SERVFAIL for a stranger", self._answered, UNKNOWN, "policy-unknown")
        self._cell(row, GATEWAY, "policy stripped, but remembered", self._remembered)
        for name, domain, failure in (
            ("an older version alone, sealing demanded", OLDER, "policy-required"),
            ("a newer version alone, sealing demanded", NEXT, "policy-required"),
            ("suites of a newer version alone", SUITES, "policy-unusable"),
        ):
            self._cell(row, GATEWAY, name, self._answered, domain, failure, "demanded" in name)
        for name, domain in (("an older", OLDER), ("a newer", NEXT)):
            self._cell(row, GATEWAY, f"{name} version alone", self._not_sealed, domain)

    def _not_sealed(self, domain):
        """A policy of another version is none [R-rec-01], so that by the rule `prefer` mail goes clear [R-dec-02]."""
        message = b"Subject: x\r\n\r\nclear\r\n"
        self._gone_clear(f"<u@{LEFT}>", f"<v@{domain}>", message)
        require(self.relay.mails[-1].octets.endswith(message), "it has not left as it was")

    def _answered(self, domain, failure, demanded=False):
        before = len(self.relay.mails)
        shape = Shape("to nobody")
        if demanded:
            shape.message = b"MTA-Seal-Required: yes\r\n" + shape.message
        reply = rig.send(self.left.inside, shape.sender_path, [f"<v@{domain}>"], shape.message)
        require(reply.startswith(self.replies[failure]), f"answered {reply}, not {self.replies[failure]}")
        require(len(self.relay.mails) == before, "and yet something has left")

    def _remembered(self):
        self._sealed(Shape("learned"), REMEMBERED)
        self.dns.withdraw(REMEMBERED)
        mail = self._sealed(Shape("remembered"), REMEMBERED)
        require(b"application/mta-seal" in mail.octets, "it has left in clear")

    # --- canaries ---

    def no_canary(self):
        """Nothing of any message that was sealed has been seen by anybody before the gateway that unseals."""
        token, envelope_id = None, None
        if self.through:
            token, envelope_id = self.through.token, carrier.read_envelope(self.through.envelope).envelope_id.hex()
        # What each has seen, and a word that it must have seen: else the record is not that of this place.
        places = {
            "the relay": (self.relay.record.octets(), token),
            "the wire from the relay on": (self.onward.octets(), token),
            "the wire back": (self.back.record.octets(), self.notice and self.notice.token),
            "DNS": (self.dns.record.octets(), gateways.on_the_wire(f"_mta-seal.{RIGHT}")),
            "the log of the sealing gateway": (self.left.said(), envelope_id),
            "the log of the unsealing gateway": (self.right.said(), envelope_id),
        }
        for place, (seen, known) in places.items():
            self._cell("canaries", GATEWAY, f"none for {place}", self._none_in, place, seen, known)
        self._cell("canaries", GATEWAY, "all found in clear mail", self._found_in_clear)
        self._cell("canaries", GATEWAY, "all found in clear mail under each encoding", self._found_under_each)

    @staticmethod
    def _none_in(place, octets_, known):
        none_in(place, octets_, known, CANARIES)

    def _gone_clear(self, sender_path, recipient, message):
        """Sends to a domain without a policy; what the relay has seen of it."""
        before = len(self.relay.record.octets())
        reply = rig.send(self.left.inside, sender_path, [recipient], message)
        require(reply.startswith("250"), f"clear mail is answered {reply}")
        return self.relay.record.octets()[before:]

    def _found_in_clear(self):
        """The same search for the same words finds them, once a message has gone clear."""
        shape = Shape("clear", mail=ENVID)
        seen = self._gone_clear(shape.sender_path + shape.mail, f"<v@{CLEAR}>{ORCPT}", shape.message)
        for word, ways in canary.Record(seen).find(CANARIES).items():
            require(ways, f"{word} is not found, so that the search is worth nothing")

    def _found_under_each(self):
        """And it finds them however they are hidden."""
        for encoder in ENCODERS:
            seen = self._gone_clear(f"<u@{LEFT}>", f"<v@{CLEAR}>", hiding(encoder))
            wanted = encoder.way if encoder.makes_text else f"{encoder.way} in base64"
            for word, ways in canary.Record(seen).find(CANARIES).items():
                require(wanted in ways, f"{word} is not found in {encoder.name}, so that the search is worth nothing")

    def all(self, peers):
        """Every live cell; the canaries last, over all that has been sent."""
        groups = (
            self.pair,
            self.relays,
            lambda: self.from_peers(peers),
            lambda: self.to_peers(peers),
            self.scripted_dns,
            self.no_canary,
        )
        assert len(groups) == STEPS
        for group in groups:
            group()
            self.progress.end()


def _parameters(lines):
    """Paths with their parameters in any order, as the grammar has them; of xtext what it stands for."""
    found = []
    for line in lines:
        path, *rest = line.decode().partition(":")[2].split(" ")
        rest = [XTEXT.sub(lambda match: chr(int(match[1], 16)), one) for one in rest]
        found.append((spelt(path.strip("<>")), sorted(rest)))
    return sorted(found)


__all__ = ["GATEWAY", "Live", "replies_of_the_draft"]
