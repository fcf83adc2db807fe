"""The envelope: header, sealed content key and envelope id ([R-env-01] to [R-env-06])."""

import hashlib
from dataclasses import dataclass

from . import extension, labels, suites
from .failures import HeaderRefused
from .identity import is_identity
from .wire import Reader, Truncated, WireError, uint, vector

MAGIC = b"\xd3MTASEAL"
VERSION = 1
MAX_HEADER = 4096
SEALED_KEY = 48


@dataclass(frozen=True)
class Header:
    """What an envelope says to everybody."""

    suite: int
    key_id: bytes
    recipient_domain: str
    extensions: tuple = ()

    def encode(self):
        """The octets of the header."""
        return (
            MAGIC
            + uint(VERSION, 1)
            + uint(self.suite, 2)
            + self.key_id
            + vector(self.recipient_domain.encode(), 1, 253)
            + extension.encode(self.extensions)
        )


@dataclass(frozen=True)
class Envelope:
    """An envelope taken apart, nothing verified."""

    header: Header
    header_octets: bytes
    enc: bytes
    sealed_key: bytes
    body: bytes

    @property
    def octets(self):
        """All of it."""
        return self.header_octets + self.enc + self.sealed_key + self.body

    @property
    def id(self):
        """The envelope id."""
        return envelope_id(self.header_octets, self.enc, self.sealed_key)


def envelope_id(header, enc, sealed_key):
    """SHA-256 of `EnvelopeIdInput` ([R-env-06])."""
    return hashlib.sha256(
        labels.labelled(labels.ENVELOPE_ID, vector(header, 1, 2**16 - 1), vector(enc, 1, 2**16 - 1), sealed_key)
    ).digest()


def content_key_info(header):
    """`ContentKeyInfo`, the HPKE `info` ([R-env-05])."""
    return labels.labelled(labels.CONTENT_KEY, hashlib.sha256(header).digest())


def _unsupported(what):
    return HeaderRefused(what, "carrier-unsupported")


def parse(octets):
    """The envelope of these octets; malformed or unsupported otherwise."""
    reader = Reader(octets)
    try:
        if reader.take(8) != MAGIC:
            raise HeaderRefused("wrong magic")
        version = reader.uint(1)
        if version != VERSION:
            raise _unsupported(f"version {version}")
        suite = reader.uint(2)
        if suite not in suites.SUITES:
            raise _unsupported(f"suite {suite}")
        key_id = reader.take(32)
        domain = reader.vector(1, 253)
        if not is_identity(domain):
            raise HeaderRefused("recipient domain is not an identity")
        extensions = extension.decode(reader.vector(0, 2**16 - 1))
        if reader.position > MAX_HEADER:
            raise HeaderRefused(f"header of {reader.position} octets, above {MAX_HEADER}")
        extension.refuse_critical(extensions)
        header = Header(suite, key_id, domain.decode(), extensions)
        header_octets = bytes(octets[: reader.position])
        enc = reader.take(suites.SUITES[suite].nenc)
        sealed_key = reader.take(SEALED_KEY)
        return Envelope(header, header_octets, enc, sealed_key, reader.rest())
    except Truncated as error:
        raise HeaderRefused(f"envelope {error}", "unauthentic") from None
    except WireError as error:
        raise HeaderRefused(f"envelope {error}") from None
    except extension.UnknownCritical as error:
        raise _unsupported(str(error)) from None
