"""Which octets a message may consist of ([R-seal-07])."""

import re

from .failures import BytesRefused

_BAD = re.compile(rb"\r(?!\n)|(?<!\r)\n|\0")


def check_octets(message, ended=True):
    """No bare CR, bare LF or NUL; if the message has not ended, an LF could follow its last CR."""
    if not ended:
        message = message.removesuffix(b"\r")
    match = _BAD.search(message)
    if match:
        raise BytesRefused(f"octet {match[0]!r} at {match.start()}")
