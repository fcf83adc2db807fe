"""Words that must not be seen before the unsealing gateway, and the search for them in every common encoding."""

import base64
import secrets
import urllib.parse


def make(purpose):
    """A word that stands nowhere else; it has letters that some encodings change."""
    return f"canary-{purpose}-{secrets.token_hex(8)}"


def _base64(octets):
    """The base64 text that does not depend on what stands before and behind, at each of the three offsets."""
    for offset in range(3):
        text = base64.b64encode(bytes(offset) + octets)
        # Characters into which octets before flow; those into which octets behind would.
        start = -(-offset * 8 // 6)
        end = (offset + len(octets)) * 8 // 6
        yield text[start:end]


def _variants(octets):
    for number, text in enumerate(_base64(octets)):
        yield f"base64 at offset {number}", text
        yield f"base64url at offset {number}", text.translate(bytes.maketrans(b"+/", b"-_"))
    yield "hexadecimal", octets.hex().encode()
    yield "hexadecimal in capitals", octets.hex().upper().encode()


def encodings(canary):
    """By name: how a canary looks."""
    plain = canary.encode()
    yield "plain", plain
    yield "reversed", plain[::-1]
    yield "quoted-printable", b"".join(b"=%02X" % octet for octet in plain)
    yield "URL", b"".join(b"%%%02X" % octet for octet in plain)
    yield "URL, what must be", urllib.parse.quote(canary).replace("-", "%2D").encode()
    for name in ("utf-16-le", "utf-16-be"):
        wide = canary.encode(name)
        yield name, wide
        yield from ((f"{variant} of {name}", text) for variant, text in _variants(wide))
    yield from _variants(plain)


class Record:
    """Octets to search: as they came, and without what wraps lines (soft line breaks, line ends, white space)."""

    def __init__(self, octets):
        flat = octets.replace(b"=\r\n", b"").translate(None, b"\r\n\t ")
        self._texts = [octets.lower(), flat.lower()]

    def seen(self, canary):
        """The encodings in which a canary stands there; letters of either case."""
        return [name for name, form in encodings(canary) if any(form.lower() in text for text in self._texts)]

    def any(self, canaries):
        """All that are seen, with their encodings."""
        return [f"{word} ({', '.join(names)})" for word in canaries if (names := self.seen(word))]
