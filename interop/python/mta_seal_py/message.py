"""Which octets a message may consist of ([R-seal-07])."""

import re

from .failures import BytesRefused

_BAD = re.compile(rb"\r(?!\n)|(?<!\r)\n|\0")


def check_octets(message):
    """No bare CR, bare LF or NUL."""
    match = _BAD.search(message)
    if match:
        raise BytesRefused(f"octet {match[0]!r} at {match.start()}")
