"""What hops between two gateways do to carriers and to the SMTP envelope, and what must come of it."""

import base64
import quopri
import re
from dataclasses import dataclass

from .parties import BOTH, NOW, ONE, PARTIES, SENDER, WINDOW, own_keys, preferred

NL = b"\r\n"
FOOTER = b"Content-Type: text/plain" + NL + NL + b"-- " + NL + b"Scanned by a relay." + NL


class NotChanged(Exception):
    """The message is no carrier that this hop knows how to change."""


def refusal(stage, failure):
    """A refusal that is expected."""
    return {"result": "refused", "stage": stage, "failure": failure}


def _boundary(carrier):
    return re.search(rb'(?i)boundary="?([^"\s;]+)', carrier)[1]


def split(carrier):
    """Header and body of a message."""
    header, _, body = carrier.partition(NL + NL)
    return header + NL, body


def sealed_text(carrier):
    """Where the base64 text of the sealed part begins and ends."""
    part = carrier.index(b"application/mta-seal")
    start = carrier.index(NL + NL, part) + 4
    return start, carrier.index(NL + b"--" + _boundary(carrier), start)


def _replace_text(carrier, change):
    start, end = sealed_text(carrier)
    return carrier[:start] + change(carrier[start:end]) + carrier[end:]


def _envelope(text):
    return base64.b64decode(text)


def _lines(octets, size=76):
    text = base64.b64encode(octets)
    return NL.join(text[at : at + size] for at in range(0, len(text), size))


def footer(carrier):
    """Adds a part of its own behind the others."""
    delimiter = b"--" + _boundary(carrier)
    at = carrier.rindex(NL + delimiter + b"--")
    return carrier[: at + 2] + delimiter + NL + FOOTER + carrier[at + 2 :]


def footer_outside(carrier):
    """Adds text behind the last delimiter."""
    return carrier + b"This list is run by volunteers." + NL


def fields(carrier):
    """Adds fields on top, results that nobody has found among them."""
    return (
        b"Received: from x by relay.example; Thu, 26 Nov 2026 00:00:00 +0000" + NL
        + b"Authentication-Results: gateway.right.example; mta-seal=pass header.d=evil.example" + NL
        + b"X-Spam-Status: No" + NL + carrier
    )


def rewrap(carrier):
    """Breaks lines elsewhere."""
    return _replace_text(carrier, lambda text: NL.join(
        line for whole in [text.replace(NL, b"")] for line in (whole[at : at + 60] for at in range(0, len(whole), 60))
    ))


def requote(carrier):
    """Encodes the text once more, as quoted-printable, and says so."""
    coded = _replace_text(
        carrier, lambda text: quopri.encodestring(text.replace(NL, b"\n")).replace(b"\n", NL)
    )
    head = coded.rindex(b"Content-Transfer-Encoding: base64")
    # The encoding of the text is now that of the text: base64 lies below it.
    return coded[:head] + coded[head:].replace(b"base64", b"quoted-printable", 1)


def nest(carrier):
    """Puts the whole body into a multipart of its own, with a banner before it."""
    header, body = split(carrier)
    field = re.search(rb"Content-Type:[^\r]*(?:\r\n[ \t][^\r]*)*", header)
    outer = header.replace(field[0], b'Content-Type: multipart/mixed; boundary="relay"')
    banner = b"--relay" + NL + b"Content-Type: text/plain" + NL + NL + b"External mail." + NL
    return outer + NL + banner + b"--relay" + NL + field[0] + NL + NL + body + b"--relay--" + NL


def alternative(carrier):
    """Rearranges: the parts become alternatives of each other, of which a reader would show one."""
    return carrier.replace(b"multipart/mixed", b"multipart/alternative", 1)


def attach(carrier):
    """Forwards the carrier inside a message."""
    header, _ = split(carrier)
    author = re.search(rb"(?:^|\r\n)(From:[^\r]*(?:\r\n[ \t][^\r]*)*)", header)[1]
    return author + NL + b"Content-Type: message/rfc822" + NL + NL + carrier


def author(carrier):
    """Writes its own address into From."""
    return re.sub(rb"(^|\r\n)From:[^\r]*(?:\r\n[ \t][^\r]*)*", rb"\1From: relay@relay.example", carrier, count=1)


def drop(carrier):
    """Takes the sealed part out, as a filter of attachments does."""
    start, end = sealed_text(carrier)
    delimiter = NL + b"--" + _boundary(carrier)
    return carrier[: carrier.rindex(delimiter, 0, start)] + carrier[end:]


def twice(carrier):
    """Attaches the sealed part a second time."""
    delimiter = NL + b"--" + _boundary(carrier)
    start, end = sealed_text(carrier)
    part = carrier[carrier.rindex(delimiter, 0, start) : end]
    return carrier[:end] + part + carrier[end:]


def alter(carrier):
    """Turns a bit in the middle of the body."""

    def change(text):
        octets = bytearray(_envelope(text))
        octets[len(octets) - 2000] ^= 1
        return _lines(bytes(octets))

    return _replace_text(carrier, change)


def truncate(carrier):
    """Takes the end of the envelope off, and closes the parts as if nothing were missing."""
    return _replace_text(carrier, lambda text: _lines(_envelope(text)[:-600]))


def cut(carrier):
    """Ends the message in the middle of a line."""
    start, end = sealed_text(carrier)
    whole = (end - start) // 78 // 2 * 78
    return carrier[: start + whole + 40]


def readdress(carrier):
    """Names another domain in the header of the envelope."""

    def change(text):
        octets = bytearray(_envelope(text))
        at = octets.index(BOTH.encode())
        octets[at] = ord("c")
        return _lines(bytes(octets))

    return _replace_text(carrier, change)


def unchanged(carrier):
    """Changes nothing of the message."""
    return carrier


@dataclass
class Relay:
    """One hop: what it does to the message, what to the rest, and what must come of it (None: it is unsealed)."""

    name: str
    change: object = unchanged
    expected: dict | None = None
    changes: object = None  # (case, envelope id) -> members of the unseal task
    about: str = ""
    live: bool = True

    def __post_init__(self):
        self.about = self.about or (self.change.__doc__ or "").split("\n", maxsplit=1)[0]

    def apply(self, carrier):
        """The message as it goes on."""
        try:
            return self.change(carrier)
        except (ValueError, TypeError, IndexError) as error:
            raise NotChanged(f"the hop finds no carrier: {error}") from None

    def input(self, case, envelope_id):
        """The members of the unseal task that this hop changes."""
        return self.changes(case, envelope_id) if self.changes else {}


def _stranger(case, _):
    return {"recipients": [f"other@{case.domain}"]}


def _elsewhere(case, _):
    return {"recipients": [f"v@{ONE}"], "own_keys": own_keys(case.domain, ONE)}


def _before(case, envelope_id):
    paths = [path["mailbox"] for path in case.forward_paths]
    return {"claims": [{"envelope_id": envelope_id, "recipient": mailbox} for mailbox in paths]}


def _usurped(*_):
    """The attacker publishes a policy of his own keys at the sender's name."""
    theirs = PARTIES[BOTH]["records"][0]
    return {"records": [{**theirs, "name": f"_mta-seal.{SENDER}"}]}


RELAYS = [
    Relay("footer", footer),
    Relay("footer outside", footer_outside),
    Relay("fields and forged results", fields),
    Relay("re-wrapped lines", rewrap),
    Relay("quoted-printable", requote),
    Relay("nested", nest),
    Relay("rearranged", alternative, refusal("recognition", "none")),
    Relay("attached", attach, refusal("recognition", "none")),
    Relay("other author", author, refusal("recognition", "none")),
    Relay("sealed part dropped", drop, refusal("recognition", "none")),
    Relay("sealed part twice", twice, refusal("limits", "two-parts")),
    Relay("altered", alter, refusal("body", "unauthentic")),
    Relay("truncated", truncate, refusal("body", "unauthentic")),
    Relay("cut off", cut, refusal("body", "unauthentic")),
    Relay("readdressed", readdress, refusal("domain", "carrier-foreign"), live=False),
    Relay(
        "redirected",
        expected=refusal("recipients", "not-signed-recipient"),
        changes=_stranger,
        about="Delivers to another mailbox of the domain.",
    ),
    Relay(
        "redirected elsewhere",
        expected=refusal("recipients", "not-signed-recipient"),
        changes=_elsewhere,
        about="Delivers to another domain of the same gateway.",
        live=False,
    ),
    Relay(
        "replayed",
        expected=refusal("delivered", "delivered-before"),
        changes=_before,
        about="Sends the carrier once more.",
    ),
    Relay(
        "held too long",
        expected=refusal("time", "too-old"),
        changes=lambda *_: {"now": NOW + WINDOW + 1},
        about="Keeps the carrier until the window has passed.",
        live=False,
    ),
    Relay(
        "held to the last second",
        changes=lambda *_: {"now": NOW + WINDOW},
        about="Keeps the carrier as long as it may.",
        live=False,
    ),
    Relay(
        "sender's record stripped",
        expected=refusal("sender-policy", "sender-unknown"),
        changes=lambda *_: {"records": []},
        about="DNS no longer has the policy of the sender.",
        live=False,
    ),
    Relay(
        "sender's record replaced",
        expected=refusal("sender-policy", "sender-unknown"),
        changes=_usurped,
        about="DNS has the policy of another domain in its place.",
        live=False,
    ),
    Relay(
        "at the wrong gateway",
        expected=refusal("domain", "carrier-foreign"),
        changes=lambda *_: {"own_keys": own_keys(ONE)},
        about="Hands the carrier to a gateway of another domain.",
        live=False,
    ),
    Relay(
        "key destroyed since",
        expected=refusal("key", "destroyed-key"),
        changes=lambda case, _: {
            "own_keys": [{"domain": case.domain, "sealing": [], "destroyed": [preferred(case.domain)["key_id"]]}]
        },
        about="Arrives after the key has been destroyed.",
        live=False,
    ),
]


