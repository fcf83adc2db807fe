"""The messages that are sealed by each and unsealed by each."""

from dataclasses import dataclass, field

from . import canary
from .contract import Task, b64, octets
from .parties import (
    BOTH,
    LONG,
    NEWER,
    NEXT,
    NOW,
    OLDER,
    ONE,
    PARTIES,
    SENDER,
    SUITES,
    WINDOW,
    own_keys,
    preferred,
    records_of,
    sender,
)

# Larger messages come last: a peer that fails on them has answered the others by then.
LARGE = 2**20
IDN = "xn--bcher-kva.example"
PLAIN = b"From: u@a.example\r\nTo: v@b.example\r\nSubject: hello\r\n\r\nHello.\r\n"
EIGHT_BIT = (
    "From: u@a.example\r\nSubject: caf\u00e9\r\n\r\nna\u00efve \u2014 \u65e5\u672c\u8a9e\r\n".encode()
    + bytes(range(128, 256))
    + b"\r\n"
)


def reverse(mailbox, body=0, smtputf8=0, ret=0, envid=""):
    """A reverse-path of a task."""
    return {"mailbox": mailbox, "body": body, "smtputf8": smtputf8, "ret": ret, "envid": envid}


def forward(mailbox, notify=0, orcpt=""):
    """A forward-path of a task."""
    return {"mailbox": mailbox, "notify": notify, "orcpt": orcpt}


@dataclass
class Case:
    """One message. `refusal` is what a sealing peer must answer instead of sealing, `rejection` an unsealing one instead of
    unsealing."""

    name: str
    message: bytes = PLAIN
    domain: str = BOTH
    sender: str = SENDER
    reverse_path: dict = None
    forward_paths: list = None
    foreign: bool = False
    short: bool = False  # part of a short run
    refusal: dict | None = None
    rejection: dict | None = None
    published: tuple | None = None  # domains whose records there are
    canaries: tuple = ()  # words that the carrier must not show

    def __post_init__(self):
        if self.reverse_path is None:
            self.reverse_path = reverse(f"u@{self.sender}")
        if self.forward_paths is None:
            self.forward_paths = [forward(f"v@{self.domain}")]

    @property
    def name_in_report(self):
        """The name of its cells."""
        return f"seal {self.name}"

    def seal(self, records=None, now=NOW):
        """The task of the sealing peer; `records` are others than those of the parties."""
        published = (self.domain,) if self.published is None else self.published
        return Task(
            "seal",
            {
                "sender": sender(self.sender),
                "recipient_domain": self.domain,
                "records": records or records_of(*published),
                "now": now,
                "reverse_path": self.reverse_path,
                "forward_paths": self.forward_paths,
                "message": b64(self.message),
                "block_size": None,
                "randomness": None,
            },
        )

    def unseal(self, carrier, **changes):
        """The task of the unsealing peer."""
        given = {
            "carrier": b64(carrier),
            "own_keys": own_keys(self.domain),
            "records": records_of(self.sender),
            "now": NOW,
            "window": WINDOW,
            "recipients": [path["mailbox"] for path in self.forward_paths],
            "claims": [],
        }
        return Task("unseal", {**given, **changes})

    def unsealed(self, envelope_id):
        """What the unsealing peer must answer."""
        if self.rejection:
            return self.rejection
        key = preferred(self.domain)
        return {
            "result": "done",
            "message": b64(self.message),
            "sender_domain": self.sender,
            "recipient_domain": self.domain,
            "suite": key["suite"],
            "key_id": key["key_id"],
            "envelope_id": envelope_id,
            "sealed_at": NOW,
            "foreign": self.foreign,
            "reverse_path": self.reverse_path,
            "forward_paths": self.forward_paths,
            "refused_recipients": [],
        }


def message_of(size):
    """A message of so many octets."""
    message = (b"Subject: size\r\n\r\n" + b"0123456789abcde\r\n" * (size // 17 + 1))[:size]
    return message[:-1] + b"x" if message.endswith(b"\r") else message


def prefix_length(case):
    """The length of the prefix with the paths of `case` [R-con-01]."""
    mailboxes = sum(5 + len(path["mailbox"].encode()) + len(path["orcpt"]) for path in case.forward_paths)
    sealed_by = case.reverse_path
    mail_from = 2 + len(sealed_by["mailbox"].encode()) + 4 + len(sealed_by["envid"])
    return 1 + 1 + len(case.sender) + 32 + 8 + 2 + 16 + mail_from + 3 + mailboxes + 2


def without_padding(case, content):
    """The length of a message whose content with the paths of `case` is of so many octets, if one block holds it."""
    return content - (3 + prefix_length(case) + 64 + 64 + 2 + 2)


def _sizes():
    for domain, suite in ((BOTH, 2), (ONE, 1)):
        for size in (0, 1, 100, 16381, 16382, 16383, 100000, 2**20, 5 * 2**20):
            short = size in (0, 16383, 100000)
            yield Case(f"suite {suite}, {size} octets", message_of(size), domain, short=short)
        for content in (4096, 4352, 16384):
            for more in (-1, 0, 1):
                size = without_padding(Case("", domain=domain), content) + more
                name = f"suite {suite}, padding edge {content}{more:+d}"
                yield Case(name, message_of(size), domain, short=content == 4096)


def _forms():
    yield Case("plain", short=True)
    yield Case("header only", b"Subject: x\r\n")
    yield Case("last line without an end", b"Subject: x\r\n\r\nno end", short=True)
    yield Case("dots", b"Subject: x\r\n\r\n.\r\n..\r\n.x\r\n.\r\n", short=True)
    yield Case("8BITMIME", EIGHT_BIT, reverse_path=reverse(f"u@{SENDER}", body=2), short=True)
    yield Case("BODY=7BIT", reverse_path=reverse(f"u@{SENDER}", body=1))
    yield Case("a line of 100,000 octets", b"Subject: x\r\n\r\n" + b"a" * 100000 + b"\r\n")
    yield Case("looks like a carrier", b"From: mta-seal@a.example\r\nContent-Type: application/mta-seal\r\n\r\n0019QVNFQUw=\r\n")


def _paths():
    u = f"u@{SENDER}"
    for name, mail_from, foreign in (
        ("null reverse-path", "", False),
        ("foreign reverse-path", "u@elsewhere.example", True),
        ("reverse-path of a subdomain", f"u@sub.{SENDER}", True),
        ("spelling of local parts", f"U.x+Y@{SENDER}", False),
    ):
        short = name == "foreign reverse-path"
        yield Case(name, reverse_path=reverse(mail_from), foreign=foreign, short=short)
    odd = ["V@B.EXAMPLE", f"v.W@{BOTH}", f'"x y"@{BOTH}', f"v+z@{BOTH}", f"{'l' * 64}@{BOTH}"]
    yield Case("recipients of odd spelling", forward_paths=[forward(one) for one in odd], short=True)
    yield Case("SMTPUTF8 sender", reverse_path=reverse(f"\u00fc@{SENDER}", 2, 1), short=True)
    utf8 = [f"\u00fc@{BOTH}", f'"\u00e4 \u00f6"@{BOTH}', f"\u65e5\u672c@{BOTH}"]
    yield Case("SMTPUTF8 recipients", reverse_path=reverse(u, 2, 1), forward_paths=[forward(one) for one in utf8])
    yield Case("SMTPUTF8 without need", reverse_path=reverse(u, smtputf8=1))
    for count, short in ((100, True), (1000, False)):
        many = [forward(f"v{number}@{BOTH}") for number in range(count)]
        yield Case(f"{count} recipients", forward_paths=many, short=short)
    yield Case("A-labels", domain=IDN)
    yield Case("long domain", domain=LONG)


def _parameters():
    u = f"u@{SENDER}"
    yield Case("RET=FULL ENVID", reverse_path=reverse(u, ret=1, envid="QQ314159"), short=True)
    yield Case("RET=HDRS", reverse_path=reverse(u, ret=2))
    yield Case("longest ENVID", reverse_path=reverse(u, envid="e" * 100))
    yield Case("ENVID in xtext", reverse_path=reverse(u, envid="a+20b+3Dc"))
    notify = [forward(f"v{number}@{BOTH}", number) for number in (0, 1, 2, 4, 6, 8, 10, 12, 14)]
    yield Case("every NOTIFY", forward_paths=notify, short=True)
    orcpt = [
        forward(f"v@{BOTH}", 14, "rfc822;Bob@group.example"),
        forward(f"w@{BOTH}", 2, "rfc822;a+2Bb@group.example"),
        forward(f"x@{BOTH}", 0, "x400;C+3Dde+3BS+3Db"),
    ]
    yield Case("ORCPT", forward_paths=orcpt, short=True)
    yield Case("longest ORCPT", forward_paths=[forward(f"v@{BOTH}", 0, "rfc822;" + "o" * 493)])


def _canaries():
    """Words wherever a message has something to say, twice, in messages of the same lengths [R-car-02], [R-car-03]."""
    for name, domain in (("canaries", BOTH), ("canaries again", BOTH), ("canaries, suite 1", ONE)):
        purposes = ("path", "to", "envid", "orcpt", "author", "other", "subject", "body", "file", "attached")
        words = tuple(canary.make(purpose) for purpose in purposes)
        path, to, envid, orcpt, author, other, subject, body, file, attached = words
        message = (
            f"From: {author} <{author}@{author}.example>\r\nTo: {other} <{other}@inner.example>\r\nSubject: {subject}\r\n"
            "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=inner\r\n\r\n"
            f"--inner\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{body}\r\n"
            "--inner\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n"
            f"Content-Disposition: attachment; filename={file}.txt\r\n\r\n"
            f"{b64(attached.encode() * 3)}\r\n--inner--\r\n"
        )
        yield Case(
            name,
            message.encode(),
            domain,
            reverse_path=reverse(f"{path}@{SENDER}", envid=envid),
            forward_paths=[forward(f"{to}@{domain}", 2, f"rfc822;{orcpt}@{orcpt}.example")],
            short=True,
            canaries=words,
        )


def _refused():
    """What a sealing gateway must refuse, and never pass on clear."""
    for name, domain, failure, published in (
        ("no policy", "plain.example", "policy-required", ()),
        ("policy stripped", BOTH, "policy-required", ()),
        ("policy of mode none", "none.example", "policy-required", None),
        ("policy expired", "expired.example", "policy-unusable", None),
    ):
        refusal = {"result": "refused", "stage": "policy", "failure": failure}
        yield Case(f"refused: {name}", domain=domain, refusal=refusal, published=published, short=True)
    yield KeyRecordStripped(
        "refused: key record stripped",
        refusal={"result": "refused", "stage": "policy", "failure": "policy-unusable"},
        short=True,
    )
    yield Case(
        "refused: two domains",
        forward_paths=[forward(f"v@{BOTH}"), forward(f"v@{ONE}")],
        refusal={"result": "refused", "stage": "path", "failure": "path-unfit"},
    )


def versions_of_senders(domain):
    """Mail of such senders: all of it is sealed by this version, so what their records have decides."""
    unknown = {"result": "refused", "stage": "sender-policy", "failure": "sender-unknown"}
    yield Case("from a newer version beside this", domain=domain, sender=NEWER, short=True)
    yield Case("from an older version alone", domain=domain, sender=OLDER, short=True, rejection=unknown)
    yield Case("from a newer version alone", domain=domain, sender=NEXT, short=True, rejection=unknown)


def _versions():
    """Domains that publish for other versions of the draft beside this one, or instead of it."""
    yield Case("to a newer version beside this", domain=NEWER, short=True)
    yield from versions_of_senders(BOTH)
    refusal = {"result": "refused", "stage": "policy", "failure": "policy-required"}
    yield Case("refused: an older version alone", domain=OLDER, refusal=refusal, short=True)
    yield Case("refused: a newer version alone", domain=NEXT, refusal=refusal, short=True)
    unusable = {"result": "refused", "stage": "policy", "failure": "policy-unusable"}
    yield Case("refused: suites of a newer version alone", domain=SUITES, refusal=unusable, short=True)
    yield KeyRecordOfAnotherVersion("refused: key record of an older version", refusal=unusable, short=True)


class KeyRecordStripped(Case):
    """DNS has the policy, and not the key that it prefers."""

    def seal(self, records=None, now=NOW):
        task = super().seal(records, now)
        kept = [self.key_record(one) if one["name"].startswith("k") else one for one in task.input["records"]]
        assert kept != task.input["records"], "suite 2 has a key record"
        task.input["records"] = [one for one in kept if one]
        return task

    @staticmethod
    def key_record(_):
        """What stands in the place of a key record."""
        return None


class KeyRecordOfAnotherVersion(KeyRecordStripped):
    """DNS has the key by an older version only."""

    @staticmethod
    def key_record(record):
        text = octets(record["text"]).replace(b"v=MTASEALKEY1", b"v=MTASEALKEY0")
        return {**record, "text": b64(text)}


def all_cases(short=False):
    """Every case, or those of a short run."""
    cases = [case for group in (_forms, _sizes, _paths, _parameters, _canaries, _versions, _refused) for case in group()]
    cases.sort(key=lambda case: len(case.message) > LARGE)
    return [case for case in cases if case.short or not short]
