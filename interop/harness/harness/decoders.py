"""What common encodings hide. A decoder yields all that it reads in some octets, wherever it stands there, and without the
word of a header: whoever shows a message to somebody need not say in which way."""

import binascii
import bz2
import lzma
import re
import urllib.parse
import zlib

REACH = 256  # octets before and behind an escape that are read with it
LARGEST = 8 * 2**20  # of a stream that is unpacked
TRIED = 2**16  # octets of a stretch at each of which a stream without any mark may begin
SHORTEST = 20  # octets of a stream without any mark, and of what it gives: noise gives less
PIECE = 1024


class TooMuch(Exception):
    """What is there cannot be searched whole in bounded time."""


_SOFT_BREAK = re.compile(rb"=\r?\n(?!\r?\n)")  # before an empty line it is the end of base64
_EMPTY_LINE = re.compile(rb"\n[ \t]*\r?\n")


class View:
    """Octets as they came, and without what wraps lines: soft line breaks, line ends but empty lines, white space."""

    def __init__(self, octets):
        self.raw = octets
        whole = _SOFT_BREAK.sub(b"", octets)
        self.flat = b"\n".join(one.translate(None, b"\r\n\t ") for one in _EMPTY_LINE.split(whole))

    @property
    def both(self):
        """The two, or the one that they are."""
        return (self.raw,) if self.raw == self.flat else (self.raw, self.flat)


# --- text ---

_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{20,}")
_URL = bytes.maketrans(b"-_", b"+/")
_HEX = re.compile(rb"[0-9A-Fa-f]{24,}")
_HEX_APART = re.compile(rb"(?:(?:\\x|0[xX])[0-9A-Fa-f]{2},?|[0-9A-Fa-f]{2}[:,-]){12,}(?:[0-9A-Fa-f]{2})?")
_NO_DIGIT = re.compile(rb"\\x|0[xX]|[:,-]")
_DECIMAL = re.compile(rb"\d{1,3}(?:,\s*\d{1,3}){12,}")
_QUOTED = re.compile(rb"=(?:[0-9A-Fa-f]{2}|[ \t]*\r?\n)")
_PERCENT = re.compile(rb"%[0-9A-Fa-f]{2}")
_WIDE = re.compile(rb"\0[\t\r\n -~](?:\0[\t\r\n -~]){7,}")
_ENCODED_WORD = re.compile(rb"=\?([^?\s]{1,40})\?([BbQq])\?([^?\r\n]*)\?=")
_PARAMETER = re.compile(rb"\*(\d{1,4})(\*?)=(?:\"((?:[^\"\\]|\\.)*)\"|([^\s;\"]+))")
_NAME = re.compile(rb"[\w-]{1,64}\Z")


def _base64_of(text):
    """What stands there, from the first character on; the last may stand in an incomplete group."""
    text = text.translate(_URL)
    text = text[:-1] if len(text) % 4 == 1 else text
    return binascii.a2b_base64(text + b"=" * (-len(text) % 4))


def base64(view):
    """Base64 and base64url, wherever in a row of their characters a group begins."""
    for run in _BASE64.finditer(view.flat):
        for at in range(4):
            yield "base64", _base64_of(run[0][at:])


def hexadecimal(view):
    """Digits of either case, also with the marks of programs between them."""
    for run in _HEX.finditer(view.flat):
        for at in range(2):
            digits = run[0][at:]
            yield "hexadecimal", binascii.unhexlify(digits[: len(digits) // 2 * 2])
    for run in _HEX_APART.finditer(view.flat):
        yield "hexadecimal", binascii.unhexlify(_NO_DIGIT.sub(b"", run[0]))


def decimal(view):
    """A list of numbers, as a program shows octets that it does not know to be text."""
    for run in _DECIMAL.finditer(view.raw):
        yield "decimal", bytes(int(number) & 255 for number in run[0].split(b","))


def _stretches(pattern, octets):
    """What stands around the places that match, those that are near each other together."""
    begin = end = None
    for match in pattern.finditer(octets):
        low, high = max(match.start() - REACH, 0), match.end() + REACH
        if begin is not None and low > end:
            yield octets[begin:end]
            begin = None
        begin, end = low if begin is None else begin, high
    if begin is not None:
        yield octets[begin:end]


def _escapes(name, pattern, view):
    """The octets that escapes stand for, with what is not escaped between them."""

    def plain(match):
        digits = match[0][1:].strip()
        return binascii.unhexlify(digits) if digits else b""

    for octets in view.both:
        found = [pattern.sub(plain, stretch) for stretch in _stretches(pattern, octets)]
        if found:
            yield name, b"\r\n\r\n".join(found)


def quoted_printable(view):
    """Quoted-printable, also of encoded words."""
    yield from _escapes("quoted-printable", _QUOTED, view)


def percent(view):
    """URL encoding, also of parameters."""
    yield from _escapes("percent", _PERCENT, view)


def wide(view):
    """UTF-16 of both orders, at either offset."""
    for run in _WIDE.finditer(view.raw):
        yield "UTF-16BE", run[0][1::2]
        if run.start():
            yield "UTF-16LE", view.raw[run.start() - 1 : run.end()][::2]


def _in_charset(octets, charset):
    """The text in UTF-8; the octets if they are not of that charset."""
    try:
        return octets.decode(charset.partition(b"*")[0].decode("ascii")).encode()
    except (LookupError, ValueError):
        return octets


def encoded_words(view):
    """RFC 2047: words that follow each other are one text."""
    group, charset, end = [], b"", 0
    for word in _ENCODED_WORD.finditer(view.raw):
        if group and (view.raw[end : word.start()].strip() or word[1].lower() != charset):
            yield "RFC 2047", _in_charset(b"".join(group), charset)
            group = []
        charset, end = word[1].lower(), word.end()
        if word[2] in b"Bb":
            group.append(b"".join(_base64_of(run[0]) for run in re.finditer(rb"[A-Za-z0-9+/]+", word[3])))
        else:
            group.append(binascii.a2b_qp(word[3], header=True))
    if group:
        yield "RFC 2047", _in_charset(b"".join(group), charset)


def parameters(view):
    """RFC 2231: a value that is cut into numbered pieces, each of them encoded or not."""
    pieces, name = [], None
    for piece in _PARAMETER.finditer(view.raw):
        before = _NAME.search(view.raw[max(piece.start() - 64, 0) : piece.start()])
        if not before:
            continue
        if pieces and (before[0].lower() != name or int(piece[1]) != len(pieces)):
            yield "RFC 2231", b"".join(pieces)
            pieces = []
        value = re.sub(rb"\\(.)", rb"\1", piece[3]) if piece[3] is not None else piece[4]
        name = before[0].lower()
        if not pieces and piece[2]:
            value = value.rpartition(b"'")[2]  # charset and language stand before
        pieces.append(urllib.parse.unquote_to_bytes(value) if piece[2] else value)
    if pieces:
        yield "RFC 2231", b"".join(pieces)


def uuencoded(view):
    """Lines that are as long as their first character says, with or without `begin` and `end`."""
    found = []
    for line in view.raw.split(b"\n"):
        line = line.rstrip(b"\r")
        octets = line[0] - 32 if line and 33 <= line[0] <= 77 else 0
        whole = 1 + -(-octets // 3) * 4
        # Spaces at the end may be lost, and some write a checksum there.
        if octets and whole - 3 <= len(line) <= whole + 1:
            try:
                found.append(binascii.a2b_uu(line[:whole]))
                continue
            except binascii.Error:
                pass
        if found and found[-1] != b"\n":
            found.append(b"\n")
    if any(one != b"\n" for one in found):
        yield "uuencode", b"".join(found)


# --- streams ---

_GZIP = re.compile(rb"\x1f\x8b\x08")
_BZ2 = re.compile(rb"BZh[1-9](?=1AY&SY)")
_XZ = re.compile(rb"\xfd7zXZ\0")
_ZLIB = re.compile(rb"[\x08\x18\x28\x38\x48\x58\x68\x78](?=[\0-\xff])")
_TEXT = re.compile(rb"[\t\r\n -~]{32,}")
_NO_STREAM = (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError)


def _unpacked(new, octets, at, first=PIECE):
    """What a stream that begins there gives, up to its end or to where it is damaged; and how long it is."""
    try:
        return _fed(new(), octets, at, first)
    except _NO_STREAM:
        return _fed_slowly(new(), octets, at)


def _fed(stream, octets, at, size):
    made, length, begin = [], 0, at
    while begin < len(octets) and not stream.eof:
        made.append(stream.decompress(octets[begin : begin + size], LARGEST + 1 - length))
        length = _bounded(length + len(made[-1]))
        begin, size = begin + size, PIECE
    return b"".join(made), min(begin, len(octets)) - len(stream.unused_data) - at


def _fed_slowly(stream, octets, at):
    """The same, octet by octet: a piece with damage in it gives nothing."""
    made, length = [], 0
    for begin in range(at, len(octets)):
        try:
            made.append(stream.decompress(octets[begin : begin + 1], LARGEST + 1 - length))
        except _NO_STREAM:
            return b"".join(made), begin - at
        length = _bounded(length + len(made[-1]))
    return b"".join(made), len(octets) - at


def _bounded(length):
    if length > LARGEST:
        raise TooMuch(f"a stream gives more than {LARGEST} octets")
    return length


def marked_streams(view):
    """Streams that begin with a mark."""
    octets = view.raw
    for name, mark, new in (
        ("gzip", _GZIP, lambda: zlib.decompressobj(31)),
        ("bz2", _BZ2, bz2.BZ2Decompressor),
        ("xz", _XZ, lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=2**28)),
    ):
        for found in mark.finditer(octets):
            yield name, _unpacked(new, octets, found.start())[0]
    for found in _ZLIB.finditer(octets):
        at = found.start()
        # RFC 1950, section 2.2: the check bits; and no preset dictionary, which we would not have.
        if int.from_bytes(octets[at : at + 2]) % 31 == 0 and not octets[at + 1] & 32:
            made, _ = _unpacked(zlib.decompressobj, octets, at, 64)
            if len(made) >= SHORTEST:
                yield "zlib", made


def _no_text(octets):
    """Where what is no text stands: a stream may begin with a few characters that could be."""
    end = 0
    for run in _TEXT.finditer(octets):
        if run.start() > end:
            yield max(end - 32, 0), run.start()
        end = run.end()
    if end < len(octets):
        yield max(end - 32, 0), len(octets)


def deflated(view):
    """Streams without a mark (RFC 1951), tried at each offset at the begin of what is no text, but for blocks that are stored:
    those can be read as they stand."""
    octets = view.raw
    for begin, end in _no_text(octets):
        for at in range(begin, min(end, begin + TRIED)):
            if octets[at] & 6 in (0, 6):
                continue
            try:
                zlib.decompressobj(-15).decompress(octets[at : at + 64])
            except zlib.error:
                continue
            made, length = _unpacked(lambda: zlib.decompressobj(-15), octets, at, 64)
            if length >= SHORTEST and len(made) >= SHORTEST:
                yield "deflate", made


DECODERS = (
    base64,
    hexadecimal,
    decimal,
    quoted_printable,
    percent,
    wide,
    encoded_words,
    parameters,
    uuencoded,
    marked_streams,
    deflated,
)
