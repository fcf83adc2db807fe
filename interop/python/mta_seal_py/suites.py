"""The suites of [R-suite-01] and HPKE in base mode, single shot ([R-suite-03])."""

import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)

MLKEM_PUBLIC = 1184
MLKEM_SEED = 64


@dataclass(frozen=True)
class SuiteInfo:
    """One row of the table."""

    number: int
    name: str
    npk: int
    nenc: int
    hpke: Suite

    @property
    def inline(self):
        """Whether the public key stands in the policy itself ([R-rec-03])."""
        return self.npk == 32


SUITES = {
    1: SuiteInfo(1, "X25519", 32, 32, Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)),
    2: SuiteInfo(2, "X-Wing", 1216, 1120, Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)),
}

_PROBE = X25519PrivateKey.from_private_bytes(b"\x01" * 32)


def _x25519_public(data):
    key = X25519PublicKey.from_public_bytes(data)
    _PROBE.exchange(key)  # ValueError: the result is zero, so the point is of small order
    return key


def load_public(suite, data):
    """The public key; ValueError if [R-suite-04] rejects it."""
    if len(data) != SUITES[suite].npk:
        raise ValueError(f"public key of {len(data)} octets, not of {SUITES[suite].npk}")
    if suite == 1:
        return _x25519_public(data)
    mlkem = MLKEM768PublicKey.from_public_bytes(data[:MLKEM_PUBLIC])
    return MLKEM768X25519PublicKey(mlkem, _x25519_public(data[MLKEM_PUBLIC:]))


def _parts_of_seed(seed):
    """The two private keys of an X-Wing seed: SHAKE256(seed, 96)."""
    expanded = hashlib.shake_256(seed).digest(96)
    return (
        MLKEM768PrivateKey.from_seed_bytes(expanded[:MLKEM_SEED]),
        X25519PrivateKey.from_private_bytes(expanded[MLKEM_SEED:]),
    )


def load_private(suite, seed):
    """The private key of 32 octets."""
    if suite == 1:
        return X25519PrivateKey.from_private_bytes(seed)
    return MLKEM768X25519PrivateKey(*_parts_of_seed(seed))


def public_of_private(suite, seed):
    """The public key that belongs to 32 octets of private key."""
    if suite == 1:
        return X25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    mlkem, x25519 = _parts_of_seed(seed)
    return mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()


def hpke_seal(suite, public, info, plaintext):
    """`enc` and the ciphertext, with empty `aad`."""
    info_of = SUITES[suite]
    sealed = info_of.hpke.encrypt(plaintext, load_public(suite, public), info=info)
    return sealed[: info_of.nenc], sealed[info_of.nenc :]


def hpke_open(suite, seed, enc, info, ciphertext):
    """The plaintext, or None."""
    try:
        return SUITES[suite].hpke.decrypt(enc + ciphertext, load_private(suite, seed), info=info)
    except (InvalidTag, ValueError):
        return None
