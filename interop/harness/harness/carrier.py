"""The form of a carrier that a sealing gateway makes [R-car-01]: each octet is that of the figure, but for envelope, token and
the text for people. So nothing of the message has a place in it [R-car-02]."""

import base64
import hashlib
import re
from dataclasses import dataclass
from email.utils import mktime_tz, parsedate_tz

LONGEST_LINE = 78
LINE = 76
DATE = re.compile(rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d? [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}")
TOKEN = re.compile(rb"[0-9a-f]{32}")
WITH_ADDRESS = (b"From:", b"To:", b"Message-ID:", b" ")
TEXT_PART = b"Content-Type: text/plain; charset=us-ascii"
SEALED_PART = (
    b'Content-Type: application/mta-seal; name="message.mtaseal"',
    b"Content-Transfer-Encoding: base64",
    b'Content-Disposition: attachment; filename="message.mtaseal"',
)
MAGIC = b"\xd3MTASEAL"
DOMAIN_AT = len(MAGIC) + 1 + 2 + 32  # behind version, suite and key id
ENC = {1: 32, 2: 1120}  # Nenc by suite
SEALED_KEY, SALT = 48, 24


class BadForm(Exception):
    """It is not the figure of the draft."""


@dataclass(frozen=True)
class Carrier:
    """What a carrier of the right form holds."""

    token: str
    envelope: bytes


@dataclass(frozen=True)
class Envelope:
    """What everybody can read of an envelope [R-env-01], less what follows the salt."""

    envelope_id: bytes
    enc: bytes
    salt: bytes


def _demand(holds, text):
    if not holds:
        raise BadForm(text)


def _fields(header):
    """The lines of a header, unfolded."""
    return re.sub(rb"\r\n([ \t])", rb"\1", header).split(b"\r\n")


def read(carrier, sender_domain, recipient_domain, now=None):
    """Its parts, if it is the carrier of the figure between these domains, made at this time; else BadForm."""
    _octets(carrier)
    header, _, body = carrier.partition(b"\r\n\r\n")
    token = _header(_fields(header), sender_domain, recipient_domain, now)
    return Carrier(token.decode(), _body(body, b"--mta-seal-" + token))


def _octets(carrier):
    _demand(carrier.isascii(), "the carrier is not ASCII")
    lines = carrier.split(b"\r\n")
    _demand(not lines[-1], "the last line of the carrier has no end")
    for line in lines:
        _demand(b"\r" not in line and b"\n" not in line, "the carrier has other line ends than CRLF")
        if len(line) > LONGEST_LINE:
            # An address cannot be folded; whether the line holds nothing else is seen with its field.
            _demand(line.startswith(WITH_ADDRESS) and b"@" in line, f"a line of the carrier has {len(line)} characters")


def _header(fields, sender_domain, recipient_domain, now):
    names = [field.partition(b":")[0].decode() for field in fields]
    wanted = ["Date", "From", "To", "Subject", "Message-ID", "MTA-Seal-Token", "MIME-Version", "Content-Type"]
    _demand(names == wanted, f"its fields are {', '.join(names)}")
    values = {name: field.partition(b":")[2] for name, field in zip(names, fields)}
    token = values["MTA-Seal-Token"].removeprefix(b" ")
    _demand(TOKEN.fullmatch(token), "the token is not 32 lower-case hexadecimal digits")
    _date(values.pop("Date").removeprefix(b" "), now)
    sender, recipient = sender_domain.encode(), recipient_domain.encode()
    for name, value in (
        ("From", b"mta-seal@" + sender),
        ("To", b"mta-seal@" + recipient),
        ("Subject", b"Sealed message"),
        ("Message-ID", b"<" + token + b"@" + sender + b">"),
        ("MTA-Seal-Token", token),
        ("MIME-Version", b"1.0"),
        ("Content-Type", b'multipart/mixed; boundary="mta-seal-' + token + b'"'),
    ):
        _demand(values[name] == b" " + value, f"{name} is {values[name][:80]!r}, not {value!r}")
    return token


def _date(value, now):
    _demand(DATE.fullmatch(value), f"Date is {value[:80]!r}")
    date = parsedate_tz(value.decode())
    _demand(date and now in (None, mktime_tz(date)), f"Date is {value.decode()}, not the time of the task")


def _body(body, delimiter):
    """The envelope in the two parts of the figure."""
    pieces = (b"\r\n" + body).split(b"\r\n" + delimiter)
    _demand(len(pieces) == 4, f"its body has {len(pieces) - 1} delimiters, not 3")
    before, text, sealed, behind = pieces
    _demand(not before, "something stands before the first part")
    _demand(behind == b"--\r\n", "something stands behind the last part")
    header, _, text = text.partition(b"\r\n\r\n")
    _demand(header == b"\r\n" + TEXT_PART, f"the header of the text is {header[:80]!r}")
    _demand(text.strip(), "there is no text for people")
    header, _, lines = sealed.partition(b"\r\n\r\n")
    _demand(_fields(header) == [b"", *SEALED_PART], f"the header of the sealed part is {header[:200]!r}")
    lines = lines.split(b"\r\n")
    _demand(all(len(line) == LINE for line in lines[:-1]) and 0 < len(lines[-1]) <= LINE, "its base64 is not in lines of 76")
    coded = b"".join(lines)
    try:
        envelope = base64.b64decode(coded, validate=True)
    except ValueError as error:
        raise BadForm(f"the sealed part: {error}") from None
    _demand(base64.b64encode(envelope) == coded, "its base64 has more than one reading")
    return envelope


def read_envelope(envelope):
    """What everybody can read of an envelope; else BadForm."""
    _demand(envelope.startswith(MAGIC) and len(envelope) > DOMAIN_AT, "the sealed part is no envelope")
    suite = int.from_bytes(envelope[len(MAGIC) + 1 : len(MAGIC) + 3])
    _demand(suite in ENC, f"the envelope is of suite {suite}")
    extensions = DOMAIN_AT + 1 + envelope[DOMAIN_AT]
    end = extensions + 2 + int.from_bytes(envelope[extensions : extensions + 2])
    key = end + ENC[suite]
    salt = key + SEALED_KEY
    _demand(len(envelope) > salt + SALT, "the envelope ends early")
    header, enc, sealed_key = envelope[:end], envelope[end:key], envelope[key:salt]
    label = b"mta-seal/1 envelope-id"
    told = bytes([len(label)]) + label + b"".join(len(one).to_bytes(2) + one for one in (header, enc)) + sealed_key
    return Envelope(hashlib.sha256(told).digest(), enc, envelope[salt : salt + SALT])


class Fresh:
    """What one sealing peer must never make twice, and the lengths of what it has made."""

    def __init__(self):
        self._made, self._lengths = {}, {}

    def see(self, name, **values):
        """BadForm if one of the values was there in a carrier before."""
        for what, value in values.items():
            before = self._made.get((what, value))
            _demand(before is None, f"its {what.replace('_', ' ')} is that of {before!r}, and not random")
            self._made[what, value] = name

    def length(self, name, carrier, of):
        """BadForm if a carrier has another length than one before that agrees in all that may decide [R-car-03]."""
        before, length = self._lengths.setdefault(of, (name, len(carrier)))
        _demand(len(carrier) == length, f"it has {len(carrier)} octets, and {before!r}, which is of the same lengths, {length}")
