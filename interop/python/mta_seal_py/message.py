"""What a message may consist of ([R-seal-07], [R-seal-08], [R-car-09], [R-uns-11])."""

import re

from . import mime
from .author import author
from .failures import BytesRefused
from .recognition import MAX_HEADER

MAX_RECEIVED = 50

_BAD = re.compile(rb"\r(?!\n)|(?<!\r)\n|\0")


def check_octets(message, ended=True):
    """No bare CR, bare LF or NUL; if the message has not ended, an LF could follow its last CR."""
    if not ended:
        message = message.removesuffix(b"\r")
    match = _BAD.search(message)
    if match:
        raise BytesRefused(f"octet {match[0]!r} at {match.start()}")


def check_loop(header):
    """Not more `Received:` fields than a message gathers on its way ([R-seal-08])."""
    if len(header.all("received")) > MAX_RECEIVED:
        raise BytesRefused("too many Received fields", "loop")


def check_header(message, ended, aligned_with):
    """Check 14 of the header block; `aligned_with` is the domain that its one author must be of, or None."""
    if not ended:
        # What a line is shows at its end.
        message = message[: message.rfind(b"\n") + 1]
    header = mime.read_entity(message, 0, len(message))
    if header.start > MAX_HEADER:
        raise BytesRefused(f"header block of more than {MAX_HEADER} octets", "header-too-large")
    if not (ended or header.complete or header.start < len(message)):
        return
    check_loop(header)
    found = author(header)
    if aligned_with is not None and (found is None or found[1] != aligned_with):
        raise BytesRefused(f"not by one author of {aligned_with}", "not-aligned")
