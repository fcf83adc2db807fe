"""The body of an envelope: C2SP chunked-encryption, AES-256-GCM with SHA-512 ([R-env-07])."""

from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.exceptions import InvalidTag

from . import labels
from .failures import BodyRefused, CommitmentRefused

SALT = 24
COMMITMENT = 32
HEAD = SALT + COMMITMENT


def context(envelope_id):
    """`BodyContext`."""
    return labels.labelled(labels.BODY, envelope_id)


class Sealer:
    """Encrypts a content; `head` (salt and commitment) is known before the first octet of it."""

    def __init__(self, content_key, envelope_id):
        self._encryptor = Cobblestone256Encryptor(content_key, context(envelope_id))
        self.head = self._encryptor.update(b"")
        assert len(self.head) == HEAD

    def seal(self, content):
        """The whole body."""
        return self.head + self._encryptor.update(content) + self._encryptor.finalize()


def open_body(content_key, envelope_id, octets):
    """The content; the commitment is compared before anything is decrypted."""
    if len(octets) < HEAD:
        raise CommitmentRefused("body has no commitment")
    decryptor = Cobblestone256Decryptor(content_key, context(envelope_id))
    try:
        decryptor.update(octets[:HEAD])
    except InvalidTag:
        raise CommitmentRefused("the commitment does not match") from None
    try:
        return decryptor.update(octets[HEAD:]) + decryptor.finalize()
    except InvalidTag:
        raise BodyRefused("a chunk is not authentic, or the last one is missing") from None
