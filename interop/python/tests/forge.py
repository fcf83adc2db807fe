"""Makes envelopes that a sealing gateway would not: every part of them can be set."""

import time

from mta_seal_py import carrier, content, ed25519, envelope, prefix, publishing, sealing, suites, unsealing
from mta_seal_py.ownkeys import OwnKeys
from mta_seal_py.padding import padded_length
from mta_seal_py.paths import ForwardPath, ReversePath
from mta_seal_py.records import Records
from mta_seal_py.wire import vector

NOW = int(time.time())


def records_of(*published):
    """Records from lists of (name, text)."""
    records = Records()
    for pairs in published:
        for name, text in pairs:
            records.add(name, text)
    return records


class Forge:
    """A sender and a recipient domain, with their keys and records."""

    def __init__(self, sender="a.example", recipient="b.example", numbers=(2, 1), now=NOW):
        self.now = now
        self.recipient_key = None  # another one than those of `recipient`
        self.sender = OwnKeys.generate(sender)
        self.recipient = OwnKeys.generate(recipient, numbers)
        self.sender_records = publishing.records(self.sender, "enforce", now - 60, now + 86400)
        self.recipient_records = publishing.records(self.recipient, "enforce", now - 60, now + 86400)

    @property
    def records(self):
        """All records."""
        return records_of(self.sender_records, self.recipient_records)

    def prefix(self, **changes):
        """A good prefix, with changes."""
        fields = {
            "sender_domain": self.sender.domain,
            "signing_key_id": self.sender.signing_key_id,
            "sealed_at": self.now,
            "delivery_id": bytes(16),
            "reverse_path": ReversePath(f"u@{self.sender.domain}"),
            "forward_paths": (ForwardPath(f"v@{self.recipient.domain}"),),
        }
        return prefix.Prefix(**{**fields, **changes})

    def key(self, suite=None):
        """Suite, key id and public key to seal to."""
        if self.recipient_key:
            return self.recipient_key
        key = next(key for key in self.recipient.sealing if suite in (None, key.suite))
        return key.suite, key.key_id, key.public

    def header(self, suite=None, **changes):
        """A good header, with changes."""
        number, key_id, _ = self.key(suite)
        fields = {"suite": number, "key_id": key_id, "recipient_domain": self.recipient.domain}
        return envelope.Header(**{**fields, **changes})

    def public(self, suite=None):
        """The public key that the header names."""
        return self.key(suite)[2]

    def envelope(
        self,
        message=b"Subject: x\r\n\r\nhello\r\n",
        suite=None,
        header=None,
        prefix_octets=None,
        opening_seed=None,
        closing_seed=None,
        opening_prefix=None,
        salt=None,
        blocks=None,
        extra_padding=0,
        padding_octet=b"\0",
        block_size=content.BLOCK,
        content_octets=None,
        header_octets=None,
    ):
        """The octets of an envelope."""
        header = header or self.header(suite)
        prefix_octets = self.prefix().encode() if prefix_octets is None else prefix_octets
        opening_seed = opening_seed or self.sender.signing[0]
        closing_seed = closing_seed or self.sender.signing[0]

        def build(envelope_id, body_salt, commitment):
            if content_octets is not None:
                return content_octets
            head = vector(prefix_octets, 1, prefix.MAX_PREFIX)
            opening = ed25519.sign(
                opening_seed,
                content.opening_input(envelope_id, salt or body_salt, commitment, opening_prefix or prefix_octets),
            )
            body = content.blocks_of(message, block_size) if blocks is None else blocks
            length = len(head) + 2 * content.SIGNATURE + len(body)
            between = body + padding_octet * (padded_length(length) - length + extra_padding)
            return head + opening + between + ed25519.sign(closing_seed, content.closing_input(opening, between))

        if header_octets is not None:
            header = RawHeader(header.suite, header_octets)
        return sealing.seal_content(header, self.public(suite), build)[0]

    def content_length(self, message, block_size):
        """The padded length of the content that `envelope` makes."""
        body = content.blocks_length(len(message), block_size)
        return padded_length(3 + len(self.prefix().encode()) + 2 * content.SIGNATURE + body)

    def unseal(self, octets, outer=None, **changes):
        """What an envelope holds."""
        options = {"records": self.records, "now": self.now, **changes}
        parsed = envelope.parse(octets)
        return unsealing.unseal_envelope(parsed, [self.recipient], outer=outer, **options)

    def unseal_message(self, message, outer=None):
        """What a carrier holds."""
        return unsealing.unseal(message, [self.recipient], self.records, outer, self.now)

    def header_of_length(self, extra):
        """Octets of a header with an extension of so many octets, which is ignored."""
        return extension_header(self.header(), b"\0\1\0" + vector(bytes(extra), 0, 2**16 - 1))

    def carrier(self, octets=None, **changes):
        """A carrier of an envelope."""
        octets = self.envelope(**changes) if octets is None else octets
        return carrier.write(octets, self.sender.domain, self.recipient.domain, self.now)


class RawHeader:
    """A header of any octets."""

    def __init__(self, suite, octets):
        self.suite = suite
        self.octets = octets

    def encode(self):
        """Its octets."""
        return self.octets


def extension_header(header, extensions):
    """The octets of a header with this vector content of extensions, whatever it holds."""
    plain = header.encode()
    return plain[:-2] + vector(extensions, 0, 2**16 - 1)


__all__ = ["NOW", "Forge", "RawHeader", "extension_header", "records_of", "suites"]
