"""Envelopes of which every part can be set; what depends on a part is computed from the one that is set."""

from mta_seal_py import body, carrier, content, ed25519, envelope, prefix
from mta_seal_py.padding import padded_length
from mta_seal_py.paths import ForwardPath, ReversePath
from mta_seal_py.wire import vector as wire_vector

from . import hpke
from .chunks import Chunks
from .parties import NOW, A, B
from .randomness import octets

MESSAGE = b"From: u@a.example\r\nTo: v@b.example\r\nSubject: hello\r\n\r\nHello.\r\n"
BLOCK = 16382


class Forgery:
    """An envelope in the making from a.example to b.example."""

    def __init__(self, name, suite=1):
        self.name = name
        self.suite = suite
        self.key = next(key for key in B.sealing if key.suite == suite)
        self.recipient_domain = B.domain
        self.key_id = self.key.key_id
        self.header_extensions = None  # octets of the vector's content
        self.header_octets = None
        self.prefix_octets = None
        self.message = MESSAGE
        self.block_size = BLOCK
        self.blocks = None
        self.extra_padding = 0
        self.stain = None  # offset in the padding
        self.opening_seed = self.closing_seed = A.signing[0]
        self.opening_prefix = None  # other octets to sign
        self.opening_id = None
        self.content = None
        self.content_end = None  # where the content is cut off
        self.tail = b""
        self.flip = {}  # by part: the offset of an octet of which a bit is turned, before what follows is computed
        self.fields = {
            "sender_domain": A.domain,
            "signing_key_id": A.signing_key_id,
            "sealed_at": NOW,
            "delivery_id": octets(name, "delivery-id", 16),
            "reverse_path": ReversePath("u@a.example"),
            "forward_paths": (ForwardPath("v@b.example"),),
        }

    def set(self, **changes):
        """Sets parts of it, or fields of the prefix."""
        for part, value in changes.items():
            if part in self.fields or part in ("flags", "type", "extensions"):
                self.fields[part] = value
            else:
                getattr(self, part)
                setattr(self, part, value)
        return self

    def _flipped(self, part, value):
        if part not in self.flip:
            return value
        changed = bytearray(value)
        changed[self.flip[part]] ^= 1
        return bytes(changed)

    def header(self):
        """The octets of the header."""
        if self.header_octets is not None:
            return self.header_octets
        plain = envelope.Header(self.suite, self.key_id, self.recipient_domain).encode()
        return (
            plain if self.header_extensions is None else plain[:-2] + wire_vector(self.header_extensions, 0, 2**16 - 1)
        )

    def prefix(self):
        """The octets of the prefix."""
        return prefix.Prefix(**self.fields).encode() if self.prefix_octets is None else self.prefix_octets

    def blocks_start(self):
        """Where the blocks begin in the content."""
        return 3 + len(self.prefix()) + content.SIGNATURE

    def blocks_end(self):
        """Where the padding begins in the content."""
        return self.blocks_start() + content.blocks_length(len(self.message), self.block_size)

    def _content(self, envelope_id, salt, commitment):
        if self.content is not None:
            return self.content
        prefix_octets = self.prefix()
        signed = prefix_octets if self.opening_prefix is None else self.opening_prefix
        opening_input = content.opening_input(self.opening_id or envelope_id, salt, commitment, signed)
        opening = ed25519.sign(self.opening_seed, opening_input)
        head = wire_vector(prefix_octets, 1, prefix.MAX_PREFIX)
        between = content.blocks_of(self.message, self.block_size) if self.blocks is None else self.blocks
        length = len(head) + 2 * content.SIGNATURE + len(between)
        padding = bytearray(padded_length(length) - length + self.extra_padding)
        if self.stain is not None:
            padding[self.stain] = 1
        between += bytes(padding)
        return head + opening + between + ed25519.sign(self.closing_seed, content.closing_input(opening, between))

    def closing_signature(self):
        """The last octets of the content."""
        return self._parts()[1][-content.SIGNATURE :]

    def octets(self):
        """The envelope."""
        return self._parts()[0]

    def _parts(self):
        header = self.header()
        content_key = octets(self.name, "content-key", 32)
        randomness = octets(self.name, "encapsulation", hpke.ENCAPSULATION[self.suite])
        info = envelope.content_key_info(header)
        enc, sealed_key = hpke.seal(self.suite, self.key.public, info, content_key, randomness)
        enc, sealed_key = self._flipped("enc", enc), self._flipped("sealed-key", sealed_key)
        envelope_id = envelope.envelope_id(header, enc, sealed_key)
        salt = octets(self.name, "salt", 24)
        chunks = Chunks(content_key, salt, body.context(envelope_id))
        commitment = self._flipped("commitment", chunks.commitment)
        plaintext = self._content(envelope_id, salt, commitment)[: self.content_end]
        sealed = self._flipped("chunks", chunks.seal(plaintext))
        return header + enc + sealed_key + salt + commitment + sealed + self.tail, plaintext

    def id(self):
        """The envelope id."""
        made = self.octets()
        after = len(self.header())
        nenc = 32 if self.suite == 1 else 1120
        return envelope.envelope_id(made[:after], made[after : after + nenc], made[after + nenc : after + nenc + 48])

    def carrier(self, made=None):
        """The carrier of it."""
        made = self.octets() if made is None else made
        token = octets(self.name, "token", 16).hex()
        return carrier.write(made, A.domain, self.recipient_domain, NOW, token)
