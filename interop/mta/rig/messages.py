"""The messages: a varied set from a fixed seed, each with canaries in subject and body."""

import base64
import random
import string
import subprocess
from dataclasses import dataclass, field

DATE = "Mon, 03 Aug 2026 10:00:00 +0200"


@dataclass
class Message:
    """`user`: the mailbox of `domain` it goes to, one for each message."""

    name: str
    data: bytes
    canaries: list = field(default_factory=list)
    mail: str = "alice@company1.example"
    body8: bool = False  # needs BODY=8BITMIME
    dkim: bool = False
    # Without the seal, hops would change it (add missing fields, cut lines): no bare run.
    sealed_only: bool = False
    domain: str = "company2.example"
    user: str = ""

    def __post_init__(self):
        self.user = self.user or "to-" + self.name

    @property
    def to(self):
        return f"{self.user}@{self.domain}"


class Maker:
    """Makes messages; the same seed gives the same octets."""

    def __init__(self, seed=2):
        self.random = random.Random(seed)

    def canary(self):
        """24 letters and digits that occur nowhere else."""
        return "".join(self.random.choices(string.ascii_letters + string.digits, k=24))

    def text(self, lines, width=72):
        """Lines of words, CRLF ended."""
        out = []
        for _ in range(lines):
            line = ""
            while len(line) < width - 10:
                line += "".join(self.random.choices(string.ascii_lowercase, k=self.random.randint(1, 9))) + " "
            out.append(line.rstrip() + ".\r\n")
        return "".join(out).encode()

    def header(self, message, subject, extra=""):
        """A whole header block without the blank line."""
        token = self.canary()
        message.canaries.append(token)
        return (
            f"Date: {DATE}\r\nFrom: Alice <alice@company1.example>\r\nTo: <{message.to}>\r\n"
            f"Message-ID: <{message.name}.{self.random.getrandbits(64):x}@company1.example>\r\n"
            f"Subject: {subject} {token}\r\n{extra}"
        ).encode()

    def make(self, name, body, subject="Quarterly figures", extra="", **flags):
        """A message with this body; a body given as text gets a canary line in front."""
        message = Message(name, b"", **flags)
        head = self.header(message, subject, extra)
        if body:
            token = self.canary()
            message.canaries.append(token)
            body = token.encode() + b"\r\n" + body
        message.data = head + b"\r\n" + body
        return message


MIME_8BIT = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"


def common(maker):
    """What Postfix can carry to the gateway: lines of at most 998 octets."""
    every_octet = bytes(b for b in range(1, 256) if b not in (10, 13))
    return [
        maker.make("plain", maker.text(20)),
        maker.make("utf8", "Grüße aus Köln, naïve façade, 東京, 🔏\r\n".encode() * 9, extra=MIME_8BIT, body8=True),
        maker.make("octets", (every_octet + b"\r\n") * 20, extra=MIME_8BIT, body8=True),
        maker.make("lines-998", (b"x" * 998 + b"\r\n") * 5 + maker.text(1) + (b"y" * 997 + b"\r\n")),
        maker.make("lines-998-8bit", ("ü" * 499 + "\r\n").encode() * 5, extra=MIME_8BIT, body8=True),
        maker.make("empty-body", b""),
        header_only(maker),
        maker.make(
            "dots",
            b".\r\n..\r\n.\r\n...\r\n.leading\r\n..two\r\n. \r\n.\t\r\nend.\r\n.\r\n.\r\n",
        ),
        maker.make("first-line-dot", b"", extra="X-Next: body begins with a dot\r\n"),
        maker.make("trailing", b"trailing spaces   \r\n\ttabs\t\t\r\n   \r\n\t\r\n\r\n\r\n\r\n"),
        maker.make("from-lines", b"From the beginning\r\n>From quoted\r\nFrom alice Mon Aug  3 10:00:00 2026\r\n"),
        maker.make(
            "odd-headers",
            maker.text(3),
            extra="X-odd:nospace\r\nX-Folded: a\r\n\tb\r\n  c\r\nx-REPEATED: 1\r\nX-Repeated: 2\r\nX-Empty:\r\n"
            + "".join(f"X-Many-{i}: {i}\r\n" for i in range(300)),
        ),
        maker.make("long-header", maker.text(2), extra="X-Long: " + "z" * 980 + "\r\n"),
        maker.make(
            "utf8-subject",
            maker.text(3),
            subject="Grüße, 東京 🔏",
            extra=MIME_8BIT,
            body8=True,
        ),
        maker.make("encoded-subject", maker.text(3), subject="=?utf-8?B?R3LDvMOfZSBhdXMgS8O2bG4=?="),
        multipart(maker, "attachment", 200_000),
        carrier_like(maker),
        maker.make("null-sender", maker.text(4), mail="", extra="Auto-Submitted: auto-replied\r\n"),
        maker.make("quoted-printable", b"caf=C3=A9 =\r\nsoft break\r\n=20\r\n" * 20,
                   extra="MIME-Version: 1.0\r\nContent-Transfer-Encoding: quoted-printable\r\n"),
        Message("no-header", b"\r\nbody of a message without any field\r\n", sealed_only=True),
        Message("no-octets", b"", sealed_only=True),
    ]


def header_only(maker):
    """Fields and nothing else: not even the blank line."""
    message = Message("header-only", b"", sealed_only=True)
    message.data = maker.header(message, "Only a header")
    return message


def multipart(maker, name, size):
    """A text part and an attachment of `size` random octets in base64."""
    blob = base64.encodebytes(maker.random.randbytes(size)).replace(b"\n", b"\r\n")
    boundary = f"=_{maker.random.getrandbits(96):x}"
    body = (
        b"preamble\r\n--" + boundary.encode() + b"\r\nContent-Type: text/plain\r\n\r\n" + maker.text(5)
        + b"\r\n--" + boundary.encode()
        + b'\r\nContent-Type: application/pdf; name="figures.pdf"\r\nContent-Transfer-Encoding: base64\r\n'
        + b'Content-Disposition: attachment; filename="figures.pdf"\r\n\r\n'
        + blob + b"\r\n--" + boundary.encode() + b"--\r\nepilogue\r\n"
    )
    extra = f'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="{boundary}"\r\n'
    return maker.make(name, body, extra=extra)


def carrier_like(maker):
    """Ordinary mail that looks sealed already: it is sealed all the same."""
    extra = (
        'MIME-Version: 1.0\r\nContent-Type: application/mta-seal; name="message.mtaseal"\r\n'
        "Content-Transfer-Encoding: base64\r\n"
    )
    return maker.make("carrier-like", b"TVRBU0VBTAA=\r\n" * 30, extra=extra)


def long_lines(maker):
    """For the gateway's own listener: lines no Postfix would send on."""
    return [
        maker.make("line-100k", b"l" * 100_000 + b"\r\n" + b"m" * 99_999 + b"\r\n", sealed_only=True),
        maker.make("line-100k-8bit", ("ü" * 50_000 + "\r\n").encode(), extra=MIME_8BIT, body8=True, sealed_only=True),
        maker.make("line-1m", b"n" * 1_000_000 + b"\r\n", sealed_only=True),
        maker.make("line-100k-dot", (b"." + b"o" * 100_000 + b"\r\n") * 3, sealed_only=True),
        maker.make("header-100k", b"x\r\n", extra="X-Long: " + "h" * 100_000 + "\r\n", sealed_only=True),
    ]


def dkim_key():
    """A fresh 2048-bit key: (private PEM octets, value of the TXT record)."""
    private = subprocess.run(
        ["openssl", "genrsa", "-traditional", "2048"], capture_output=True, check=True
    ).stdout
    public = subprocess.run(
        ["openssl", "rsa", "-pubout", "-outform", "DER"], input=private, capture_output=True, check=True
    ).stdout
    return private, "v=DKIM1; k=rsa; p=" + base64.b64encode(public).decode()


def dkim_signed(maker, private):
    """Mail signed as company1.example, in the canonicalisations that forgive least and most."""
    import dkim

    signed = []
    for name, canonicalize in (
        ("dkim-simple", (b"simple", b"simple")),
        ("dkim-relaxed", (b"relaxed", b"relaxed")),
        ("dkim-mixed", (b"relaxed", b"simple")),
    ):
        message = multipart(maker, name, 30_000)
        message.dkim = True
        message.data = _sign(dkim, message.data, private, canonicalize)
        signed.append(message)
    eight = maker.make(
        "dkim-8bit",
        "Sehr geehrte Damen und Herren,\r\n\r\nanbei die Zahlen für das Büro in Zürich.  \r\n.\r\n\r\n".encode(),
        subject="Zahlen für Zürich",
        extra=MIME_8BIT,
        body8=True,
        dkim=True,
    )
    eight.data = _sign(dkim, eight.data, private, (b"simple", b"simple"))
    return [*signed, eight]


def _sign(dkim, data, private, canonicalize):
    field_ = dkim.sign(
        data,
        b"rig",
        b"company1.example",
        private,
        canonicalize=canonicalize,
        include_headers=[b"from", b"to", b"subject", b"date", b"message-id"],
    )
    return field_ + data


def big(maker, size=25_000_000):
    """An attachment of `size` octets once encoded."""
    return multipart(maker, "attachment-25m", int(size * 57 / 78))
