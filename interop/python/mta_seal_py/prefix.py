"""The prefix of a content: who sealed it, when, and for whom ([R-con-01], [R-con-02])."""

from dataclasses import dataclass

from . import extension
from .failures import PrefixRefused
from .identity import is_identity
from .paths import ForwardPath, ReversePath, lacks_smtputf8
from .wire import Reader, WireError, uint, vector

MAIL = 1
RECEIPT = 2
RECEIPT_WANTED = 0x0001
FOREIGN = 0x0002
MAX_PREFIX = 2**20
MAX_PATHS = 1000


@dataclass(frozen=True)
class Prefix:
    """Everything that is signed before the message."""

    sender_domain: str
    signing_key_id: bytes
    sealed_at: int
    delivery_id: bytes
    reverse_path: ReversePath
    forward_paths: tuple
    flags: int = 0
    type: int = MAIL
    extensions: tuple = ()

    @property
    def foreign(self):
        """Whether the reverse-path is flagged as one of another domain."""
        return bool(self.flags & FOREIGN)

    @property
    def lacks_smtputf8(self):
        """Whether a path is not ASCII and SMTPUTF8 was not given ([R-con-02])."""
        return lacks_smtputf8(self.reverse_path, self.forward_paths)

    def encode(self):
        """Its octets."""
        return (
            uint(self.type, 1)
            + vector(self.sender_domain.encode(), 1, 253)
            + self.signing_key_id
            + uint(self.sealed_at, 8)
            + uint(self.flags, 2)
            + self.delivery_id
            + self.reverse_path.encode()
            + vector(b"".join(path.encode() for path in self.forward_paths), 0, 2**20 - 1)
            + extension.encode(self.extensions)
        )


def _forward_paths(data):
    reader, paths = Reader(data), []
    while reader.position < len(data):
        paths.append(ForwardPath.read(reader))
        if len(paths) > MAX_PATHS:
            raise WireError(f"more than {MAX_PATHS} forward-paths")
    return tuple(paths)


def parse(octets):
    """The prefix of a content."""
    reader = Reader(octets)
    try:
        kind = reader.uint(1)
        if kind not in (MAIL, RECEIPT):
            raise PrefixRefused(f"content of type {kind}", "carrier-unsupported")
        sender_domain = reader.vector(1, 253)
        if not is_identity(sender_domain):
            raise WireError("sender domain is not an identity")
        prefix = Prefix(
            type=kind,
            sender_domain=sender_domain.decode(),
            signing_key_id=reader.take(32),
            sealed_at=reader.uint(8),
            flags=reader.uint(2),
            delivery_id=reader.take(16),
            reverse_path=ReversePath.read(reader),
            forward_paths=_forward_paths(reader.vector(0, 2**20 - 1)),
            extensions=extension.decode(reader.vector(0, 2**16 - 1)),
        )
        reader.end()
        extension.refuse_critical(prefix.extensions)
        return prefix
    except WireError as error:
        raise PrefixRefused(f"prefix: {error}") from None
    except extension.UnknownCritical as error:
        raise PrefixRefused(str(error), "carrier-unsupported") from None
