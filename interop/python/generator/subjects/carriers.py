"""Carriers as hops may have changed them, ordinary mail, and what is refused unread ([R-car-04] to [R-car-09])."""

import base64
import collections
import re

from mta_seal_py.tasks import b64
from tests.carriers import NAMED, NL, PLAIN, Carriers, in_lines, mixed, nested, part, quoted_printable

from ..envelopes import Forgery
from ..vector import vector

# The envelope is not opened here, so that its front is enough; no padding, so that its base64 has none.
LENGTH = 900
TWIN = "recognise/done/as-the-only-part"
FAR = b"Content-Type: text/plain" + NL + NL + b"x" * 70000 + NL
ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


class Front:
    """The front of an envelope, in the place of a forge."""

    def __init__(self, length=LENGTH):
        self.forgery = Forgery("recognise/envelope")
        self.octets = self.forgery.octets()[:length]

    def envelope(self):
        """Its octets."""
        return self.octets

    def carrier(self, octets):
        """As a gateway writes it."""
        return self.forgery.carrier(octets)


def slugs(cases):
    """The cases, each with a name of letters, digits and hyphens; a number makes it the only one."""
    seen = collections.Counter()
    for text, message in cases.items():
        name = re.sub(r"\bb'|\bb\"|\\[rnt]", " ", text).lower()
        name = re.sub(r"[^a-z0-9]+", "-", name).strip("-")
        seen[name] += 1
        yield f"{name}-{seen[name]}" if seen[name] > 1 else name, text, message


def _one(name, requirements, comment, message, refused=None):
    result = "refused" if refused else "done"
    task = {"message": b64(message), "own_domains": ["b.example"]}
    twin = TWIN if refused else None
    return vector("recognise", f"recognise/{result}/{name}", requirements, comment, task, refused, twin)


def _requirements(text, others):
    """Those of a case, by what it is about."""
    limit = re.match(r"(1000|more) parts|boundary|.*header block", text)
    return f"R-car-09 {others}" if limit else others


def _refused(good, envelope):
    malformed, two = ("limits", "carrier-malformed"), ("limits", "two-parts")
    sealed = part(good)
    for name, message in {
        "two": mixed(sealed, PLAIN, sealed),
        "two-one-by-name": mixed(sealed, part(good, NAMED)),
        "two-second-far": mixed(sealed, FAR, sealed),
        "two-nested": mixed(nested(1, sealed), nested(2, sealed)),
    }.items():
        yield _one(name, "R-car-05", "Two sealed parts.", message, two)
    bad = part(b"AAAA")
    for name, message in {
        "after": mixed(sealed, bad),
        "after-far": mixed(sealed, FAR, bad),
        "before": mixed(bad, sealed),
        "between": mixed(sealed, bad, sealed),
    }.items():
        text = "A sealed part, and one with the media type, but not the magic: the first fault decides."
        yield _one(f"magic-beside-{name}", "R-car-05", text, message, malformed)
    text = "Two sealed parts, and then one without the magic: the first fault decides."
    yield _one("two-before-magic", "R-car-05", text, mixed(sealed, sealed, bad), two)
    for name, text in {
        "empty": b"",
        "other": b"AAAA",
        "no-base64": b"!",
        "shifted": good[1:],
        "late": b" " * 1014 + good,
        "twice": base64.b64encode(good),
    }.items():
        yield _one(
            f"magic-{name}", "R-car-05 R-car-04", "The media type, but not the magic.", mixed(part(text)), malformed
        )
    for name, encoding in (
        ("unknown", b"x-uuencode"),
        ("empty", b""),
        ("two", b"base64\r\nContent-Transfer-Encoding: 7bit"),
    ):
        message = mixed(part(good, encoding=encoding))
        yield _one(f"encoding-{name}", "R-car-04 R-car-06", "No transfer encoding that is known.", message, malformed)
    for name, bad in (("letters", b"=ZZ"), ("half", b"=Z")):
        message = mixed(part(quoted_printable(envelope) + bad, encoding=b"quoted-printable"))
        yield _one(f"quoted-printable-{name}", "R-car-07", "Quoted-printable that is none.", message, malformed)
    foreign = Forgery("recognise/foreign").set(recipient_domain="c.example").octets()[:LENGTH]
    message = mixed(part(base64.b64encode(foreign)))
    yield _one("foreign", "R-car-05", "For another domain.", message, ("domain", "carrier-foreign"))


LIMITS = {
    "header block of 262145 octets": "header-block-of-262144-octets",
    "further part with a header block of 65537 octets": "further-part-with-a-header-block-of-65536-octets",
    "1001 parts": "1000-parts",
}


def _beyond_limits(carriers):
    for text, (message, failure) in carriers.beyond_limits().items():
        made = _one(text.replace(" ", "-"), "R-car-09", f"Beyond a limit: {text}.", message, ("limits", failure))
        yield {**made, "twin": f"recognise/done/{LIMITS[text]}"}


def _base64():
    for padding in (0, 1, 2):
        text = base64.b64encode(Front(LENGTH - padding).octets)
        bare = text.rstrip(b"=")
        bad = {
            "more": text + b"=",
            "text-after": text + b"\r\n" + (b"AAAA" if padding else b"AAAAA"),
            "a-character-less": bare[:-1] + b"=" * padding,
            "character": text[:300] + b"!" + text[300:],
            "inside": text[:300] + b"=" + text[300:],
            "nul": text[:300] + b"\0" + text[300:],
            "url": text[:300] + b"-_" + text[302:],
        }
        if padding:
            following = ALPHABET[ALPHABET.index(bare[-1]) + 1 :][:1]
            bad |= {"missing": bare, "trailing-bits": bare[:-1] + following + text[len(bare) :]}
        for name, one in bad.items():
            comment = f"Base64 that is not strict; {padding} octets of padding."
            message = mixed(part(in_lines(76, one)))
            yield _one(f"base64-{padding}-{name}", "R-car-07", comment, message, ("limits", "carrier-malformed"))


def _inspected():
    forgery = Forgery("inspect/done/plain")
    carrier = {"carrier": b64(forgery.carrier())}
    yield vector("inspect", "inspect/done/plain", "R-env-06", "A carrier of suite 1.", carrier)
    forgery = Forgery("inspect/done/suite-2", 2)
    carrier = {"carrier": b64(forgery.carrier())}
    yield vector("inspect", "inspect/done/suite-2", "R-env-06", "A carrier of suite 2.", carrier)
    forgery = Forgery("inspect/refused/ordinary")
    carrier = {"carrier": b64(forgery.carrier().replace(b"From: mta-seal@", b"From: u@"))}
    refused, twin = ("recognition", "none"), "inspect/done/plain"
    comment = "From: is another mailbox."
    yield vector("inspect", "inspect/refused/ordinary", "R-car-04", comment, carrier, refused, twin)
    forgery = Forgery("inspect/refused/version")
    octets = forgery.octets()
    carrier = {"carrier": b64(forgery.carrier(octets[:8] + b"\2" + octets[9:]))}
    refused = ("limits", "carrier-unsupported")
    yield vector("inspect", "inspect/refused/version", "R-env-03", "Version 2.", carrier, refused, twin)


def vectors():
    """All of them."""
    front = Front()
    carriers = Carriers(front)
    for name, text, message in slugs(carriers.tolerated()):
        yield _one(name, _requirements(text, "R-car-04 R-car-06"), f"Tolerated: {text}.", message)
    for name, text, message in slugs(carriers.not_recognised()):
        yield _one(name, _requirements(text, "R-car-04"), f"Ordinary mail: {text}.", message, ("recognition", "none"))
    yield from _refused(carriers.good, carriers.envelope)
    yield from _beyond_limits(carriers)
    yield from _base64()
    yield from _inspected()
