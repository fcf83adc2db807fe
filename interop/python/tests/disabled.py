"""By check: the vector that holds it, and how to do without the check."""

import contextlib
import hmac
from unittest import mock

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from generator.chunks import HEADING
from mta_seal_py import body, content, ed25519, envelope, policy, suites, unsealing
from mta_seal_py import message as messages
from mta_seal_py import prefix as prefixes
from mta_seal_py.claims import Claims
from mta_seal_py.failures import BodyRefused, CommitmentRefused
from mta_seal_py.ownkeys import OwnKeys
from mta_seal_py.wire import Reader, Truncated


def nothing(*_args):
    """A check that passes."""


def replaced(target, name, value):
    """A function or attribute is another one."""
    return lambda: mock.patch.object(target, name, value)


@contextlib.contextmanager
def without_domain():
    """The recipient domain may be any: the first keys there are serve."""
    original, recognised = unsealing.unseal_envelope, unsealing.recognition.find

    def any_domain(parsed, own_keys, *rest):
        own = own_keys[0]
        renamed = OwnKeys(parsed.header.recipient_domain, own.identity, own.signing, own.sealing, own.destroyed)
        return original(parsed, [renamed], *rest)

    with (
        mock.patch.object(unsealing.recognition, "find", lambda message, _own_domains: recognised(message)),
        mock.patch.object(unsealing, "unseal_envelope", any_domain),
    ):
        yield


def any_key(own, _key_id):
    """The first key of suite 1."""
    return next(key for key in own.sealing if key.suite == 1)


@contextlib.contextmanager
def without_hpke_tag():
    """The content key is decrypted, and its tag is not compared."""
    original = suites.hpke_open

    def opened(suite, seed, enc, info, ciphertext):
        for octet in range(len(ciphertext)):
            for bit in range(8):
                tried = bytearray(ciphertext)
                tried[-1 - octet] ^= 1 << bit
                found = original(suite, seed, enc, info, bytes(tried))
                if found is not None:
                    return found
        return None

    with mock.patch.object(suites, "hpke_open", opened):
        yield


class Chunks:
    """The chunked encryption by hand, so that a check can be left out."""

    def __init__(self, compare_commitment, compare_tags):
        self.compare = compare_commitment, compare_tags

    def __call__(self, content_key, envelope_id, octets):
        salt, commitment, sealed = octets[:24], octets[24:56], octets[56:]
        okm, block = b"", b""
        for counter in (1, 2):
            info = HEADING + salt + body.context(envelope_id)
            block = hmac.digest(content_key, block + info + bytes([counter]), "sha512")
            okm += block
        if self.compare[0] and okm[44:76] != commitment:
            raise CommitmentRefused("the commitment does not match")
        plain, base = b"", int.from_bytes(okm[32:44], "big")
        for number, at in enumerate(range(0, len(sealed), 16400)):
            chunk = sealed[at : at + 16400]
            nonce = (base ^ number).to_bytes(12, "big")
            decryptor = Cipher(algorithms.AES(okm[:32]), modes.CTR(nonce + b"\0\0\0\2")).decryptor()
            found = decryptor.update(chunk[:-16])
            if self.compare[1]:
                if AESGCM(okm[:32]).encrypt(nonce, found, None) != chunk:
                    raise BodyRefused("a chunk is not authentic")
            plain += found
        return plain


def blocks_without_end(rest, judge):
    """A block that runs past the content ends where the closing signature begins."""
    reader, parts = Reader(rest), []
    try:
        while data := reader.vector(0, content.MAX_BLOCK):
            parts.append(data)
    except Truncated:
        parts.append(rest[sum(len(one) + 2 for one in parts) + 2 : -content.SIGNATURE])
        judge(b"".join(parts))
        return b"".join(parts), len(rest) - content.SIGNATURE
    judge(b"".join(parts))
    return b"".join(parts), reader.position


@contextlib.contextmanager
def without_signature(structure):
    """One of the two signatures is not verified: the label tells which."""
    original = ed25519.verify

    def verify(public, signature, message):
        return structure in message[:30] or original(public, signature, message)

    with mock.patch.object(ed25519, "verify", verify):
        yield


def any_signing_key(listed, _key_id):
    """The first signing key of a policy."""
    return listed.signing_keys[0]


def lenient_padding(value):
    """The padding is checked for its length, or for its octets, only."""

    def check(content_length, rest, blocks_end):
        padding = rest[blocks_end : len(rest) - content.SIGNATURE]
        original = content.padded_length(content_length - len(padding))
        if (value == "octets" and content_length != original) or (value == "length" and padding.strip(b"\0")):
            raise content.PaddingRefused("padding")

    return check


CHECK_REVERSE_PATH = unsealing.check_reverse_path

CHECKS = {
    "header of at most 4,096 octets": ("unseal/refused/header-4097", replaced(envelope, "MAX_HEADER", 1 << 16)),
    "critical extensions of the header": (
        "unseal/refused/critical-extension",
        replaced(envelope.extension, "refuse_critical", nothing),
    ),
    "recipient domain": ("unseal/refused/domain", without_domain),
    "key id": ("unseal/refused/key", replaced(OwnKeys, "sealing_key", any_key)),
    "HPKE": ("unseal/refused/hpke", without_hpke_tag),
    "commitment": ("unseal/refused/commitment", replaced(body, "open_body", Chunks(False, True))),
    "chunks": ("unseal/refused/chunk-tag", replaced(body, "open_body", Chunks(True, False))),
    "form of the prefix": ("unseal/refused/prefix-longer", replaced(prefixes.Reader, "end", nothing)),
    "critical extensions of the prefix": (
        "unseal/refused/prefix-critical",
        replaced(prefixes.extension, "refuse_critical", nothing),
    ),
    "signing key is listed": ("unseal/refused/signing-key-id", replaced(policy.Policy, "signing_key", any_signing_key)),
    "policy in its time": ("unseal/refused/policy-expired", replaced(policy.Policy, "in_time", lambda *_: True)),
    "policy is signed": ("unseal/refused/policy-changed", lambda: without_signature(b"mta-seal/1 policy")),
    "opening signature": ("unseal/refused/opening", lambda: without_signature(b"mta-seal/1 opening")),
    "content is mail": ("unseal/refused/receipt", replaced(unsealing.prefixes, "MAIL", 2)),
    "paths": ("unseal/refused/forward-path-other-domain", replaced(unsealing, "check_paths", nothing)),
    "reverse-path": ("unseal/refused/reverse-path", replaced(unsealing, "check_reverse_path", nothing)),
    "not flagged foreign": (
        "unseal/refused/not-aligned",
        replaced(unsealing, "check_reverse_path", lambda prefix, _aligned: CHECK_REVERSE_PATH(prefix)),
    ),
    "not too old": ("unseal/refused/too-old", replaced(unsealing, "check_time", nothing)),
    "not in the future": ("unseal/refused/in-future", replaced(unsealing, "CLOCK_TOLERANCE", 1 << 40)),
    "delivered under the envelope id": (
        "unseal/refused/delivered-envelope",
        replaced(Claims, "_envelope", staticmethod(lambda *_: object())),
    ),
    "delivered under the delivery id": (
        "unseal/refused/delivered-id",
        replaced(Claims, "_delivery", staticmethod(lambda *_: object())),
    ),
    "a recipient remains": (
        "unseal/refused/recipient",
        replaced(unsealing, "matching", lambda prefix, _outer: (prefix.forward_paths, ())),
    ),
    "header block of the message": ("unseal/refused/inner-header-262145", replaced(messages, "MAX_HEADER", 1 << 20)),
    "Received fields": ("unseal/refused/received-51", replaced(messages, "check_loop", nothing)),
    "one author": ("unseal/refused/author-other", replaced(messages, "author", lambda _header: ("u", "a.example"))),
    "bare CR, bare LF and NUL": ("unseal/refused/bare-lf", replaced(unsealing, "check_octets", nothing)),
    "blocks end": ("unseal/refused/blocks", replaced(content, "message_of", blocks_without_end)),
    "length of the padding": (
        "unseal/refused/padding-longer",
        replaced(content, "check_padding", lenient_padding("length")),
    ),
    "octets of the padding": (
        "unseal/refused/padding-first",
        replaced(content, "check_padding", lenient_padding("octets")),
    ),
    "closing signature": ("unseal/refused/closing", lambda: without_signature(b"mta-seal/1 closing")),
}
