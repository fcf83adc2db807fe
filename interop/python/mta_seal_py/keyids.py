"""Key identifiers and fingerprints ([R-key-01])."""

import hashlib

from . import labels
from .wire import uint, vector


def sealing_key_id(suite, public_key):
    """The key id of a sealing key."""
    return hashlib.sha256(
        labels.labelled(labels.SEALING_KEY_ID, uint(suite, 2), vector(public_key, 1, 2**16 - 1))
    ).digest()


def signing_key_id(public_key):
    """The key id of a signing key."""
    return hashlib.sha256(labels.labelled(labels.SIGNING_KEY_ID, public_key)).digest()


def fingerprint(public_key):
    """The fingerprint of an identity key."""
    return hashlib.sha256(labels.labelled(labels.IDENTITY, public_key)).digest()
