"""How a word could be hidden: what the search for canaries is tried with. They are written apart from the decoders."""

import base64
import binascii
import bz2
import gzip
import lzma
import quopri
import zlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Encoder:
    """One way to hide octets; `way` is what the search calls it."""

    name: str
    way: str
    encode: object
    of_text: bool = False  # can hide text only
    makes_text: bool = True

    def takes(self, other):
        """Whether it can be laid over what another has made."""
        return other.makes_text or not self.of_text


def _lines(text, length):
    return b"\r\n".join(text[at : at + length] for at in range(0, len(text), length))


def _behind(number):
    """Base64 with so many octets before."""
    return lambda octets: base64.b64encode(b"\n" * number + octets)


def _deflated(octets):
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(octets) + stream.flush()


def _fixed(octets):
    stream = zlib.compressobj(wbits=-15, strategy=zlib.Z_FIXED)
    return stream.compress(octets) + stream.flush()


def _unended(octets):
    """A stream that goes on."""
    stream = zlib.compressobj()
    return stream.compress(octets) + stream.flush(zlib.Z_SYNC_FLUSH)


def _uuencoded(octets):
    return b"".join(binascii.b2a_uu(octets[at : at + 45]) for at in range(0, len(octets), 45))


def _words(octets, kind):
    """Encoded words of a few octets each, so that whatever is long is cut."""
    made = []
    for at in range(0, len(octets), 11):
        piece = octets[at : at + 11]
        text = base64.b64encode(piece) if kind == b"B" else b"".join(b"=%02X" % octet for octet in piece)
        made.append(b"=?utf-8?" + kind + b"?" + text + b"?=")
    return b"\r\n ".join(made)


def _parameter(octets):
    """A parameter in pieces of a few octets each."""
    made = []
    for number, at in enumerate(range(0, len(octets), 11)):
        head = b"utf-8''" if number == 0 else b""
        text = b"".join(b"%%%02X" % octet for octet in octets[at : at + 11])
        made.append(b"filename*%d*=%s%s" % (number, head, text))
    return b"attachment;\r\n " + b";\r\n ".join(made)


def _each(form):
    return lambda octets: b"".join(form % octet for octet in octets)


ENCODERS = (
    Encoder("base64", "base64", base64.b64encode),
    Encoder("base64 behind an octet", "base64", _behind(1)),
    Encoder("base64 behind two octets", "base64", _behind(2)),
    Encoder("base64 without its end", "base64", lambda octets: base64.b64encode(octets).rstrip(b"=")),
    Encoder("base64 in lines", "base64", lambda octets: _lines(base64.b64encode(octets), 19)),
    Encoder("base64url", "base64", base64.urlsafe_b64encode),
    Encoder("hexadecimal", "hexadecimal", lambda octets: octets.hex().encode()),
    Encoder("hexadecimal in capitals", "hexadecimal", lambda octets: octets.hex().upper().encode()),
    Encoder("hexadecimal with colons", "hexadecimal", lambda octets: octets.hex(":").encode()),
    Encoder("hexadecimal with spaces", "hexadecimal", lambda octets: octets.hex(" ").encode()),
    Encoder("hexadecimal of a program", "hexadecimal", _each(b"\\x%02x")),
    Encoder("decimal", "decimal", lambda octets: ", ".join(map(str, octets)).encode()),
    Encoder("quoted-printable", "quoted-printable", lambda octets: _lines(_each(b"=%02X")(octets), 75).replace(b"\r\n", b"=\r\n")),
    Encoder("quoted-printable, what must be", "quoted-printable", lambda octets: quopri.encodestring(b"=\n" + octets)),
    Encoder("percent", "percent", _each(b"%%%02X")),
    Encoder("percent, what must be", "percent", lambda octets: octets.replace(b"%", b"%25").replace(b"-", b"%2d"), of_text=True),
    Encoder("UTF-16LE", "UTF-16LE", lambda octets: octets.decode().encode("utf-16-le"), of_text=True, makes_text=False),
    Encoder("UTF-16BE", "UTF-16BE", lambda octets: octets.decode().encode("utf-16-be"), of_text=True, makes_text=False),
    Encoder("uuencode", "uuencode", lambda octets: b"begin 644 file\n" + _uuencoded(octets) + b"`\nend\n"),
    Encoder("uuencode without begin", "uuencode", _uuencoded),
    Encoder("RFC 2047 B", "RFC 2047", lambda octets: _words(octets, b"B")),
    Encoder("RFC 2047 Q", "RFC 2047", lambda octets: _words(octets, b"Q")),
    Encoder("RFC 2231", "RFC 2231", _parameter),
    Encoder("gzip", "gzip", gzip.compress, makes_text=False),
    Encoder("zlib", "zlib", zlib.compress, makes_text=False),
    Encoder("zlib that goes on", "zlib", _unended, makes_text=False),
    Encoder("deflate", "deflate", _deflated, makes_text=False),
    Encoder("deflate of one table", "deflate", _fixed, makes_text=False),
    Encoder("bz2", "bz2", bz2.compress, makes_text=False),
    Encoder("xz", "xz", lzma.compress, makes_text=False),
)
