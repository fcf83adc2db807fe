"""Decodes the text of the sealed part ([R-car-06], [R-car-07])."""

import base64
import re

from .envelope import MAGIC
from .failures import CarrierRefused

MAGIC_WITHIN = 1024
_WHITE = b" \t\r\n"
_TEXT = re.compile(rb"([A-Za-z0-9+/]*)(={0,2})")
IDENTITY = {"7bit", "8bit", "binary"}


def _quoted_printable(text):
    """The octets of quoted-printable text; ValueError if it is none."""
    text = re.sub(rb"[ \t]+(?=\r\n|\Z)", b"", text)
    text = re.sub(rb"=(?:\r\n|\Z)", b"", text)
    if re.search(rb"=(?![0-9A-Fa-f]{2})", text):
        raise ValueError("bad escape in quoted-printable")
    return re.sub(rb"=([0-9A-Fa-f]{2})", lambda m: bytes([int(m[1], 16)]), text)


def strict_base64(text):
    """Octets of base64 text with white space; anything else is malformed ([R-car-07])."""
    match = _TEXT.fullmatch(text.translate(None, _WHITE))
    if match is None:
        raise CarrierRefused("text of the sealed part is not base64")
    data, padding = match[1], match[2]
    if (len(data) + len(padding)) % 4 or len(data) % 4 == 1:
        raise CarrierRefused("wrong padding of base64")
    octets = base64.b64decode(data + padding)
    if base64.b64encode(octets) != data + padding:
        raise CarrierRefused("trailing bits of base64 are not zero")
    return octets


def decode(text, encoding, delimited=True):
    """The envelope in the text of the part.

    At the end of a message that no delimiter ends, one CRLF is of the transport and not of a raw envelope.
    """
    if encoding == "quoted-printable":
        try:
            text = _quoted_printable(text)
        except ValueError as error:
            raise CarrierRefused(str(error)) from None
    elif encoding not in IDENTITY and encoding != "base64":
        raise CarrierRefused(f"transfer encoding {encoding!r}")
    if encoding != "base64" and text.startswith(MAGIC):
        return text if delimited else text.removesuffix(b"\r\n")
    return strict_base64(text)


def has_magic(text, encoding):
    """Whether the text decodes to something that begins with the magic, complete within its first octets."""
    if encoding not in IDENTITY | {"base64", "quoted-printable"}:
        return False
    head = text[:MAGIC_WITHIN]
    if encoding == "quoted-printable":
        try:
            head = _quoted_printable(re.sub(rb"=[0-9A-Fa-f]?\Z", b"", head))
        except ValueError:
            return False
    if encoding != "base64" and head.startswith(MAGIC):
        return True
    characters = head.translate(None, _WHITE)[:12]
    if len(characters) < 11 or re.fullmatch(rb"[A-Za-z0-9+/]+", characters[:11]) is None:
        return False
    return base64.b64decode(characters[:11] + b"A").startswith(MAGIC)
