"""Octets that follow from a name (test-vectors/README.md, "Randomness")."""

import hashlib


def octets(name, purpose, count):
    """So many octets for this purpose of a vector or party."""
    return hashlib.shake_256(b"mta-seal test vectors\0" + name.encode() + b"\0" + purpose.encode()).digest(count)
