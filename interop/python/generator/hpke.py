"""HPKE in base mode with the randomness given, which the library does not let one do (RFC 9180, X-Wing).

What is made here is opened by the library before it becomes a vector.
"""

import hashlib
import hmac

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from kyber_py.ml_kem import ML_KEM_768

KDF_ID, AEAD_ID = 0x0001, 0x0002
KEM_ID = {1: 0x0020, 2: 0x647A}
ENCAPSULATION = {1: 32, 2: 64}
XWING_LABEL = b"\\.//^\\"
MLKEM_PUBLIC = 1184


def _extract(salt, ikm):
    return hmac.digest(salt or bytes(32), ikm, "sha256")


def _expand(prk, info, length):
    okm, block, counter = b"", b"", 1
    while len(okm) < length:
        block = hmac.digest(prk, block + info + bytes([counter]), "sha256")
        okm, counter = okm + block, counter + 1
    return okm[:length]


def _labeled_extract(suite_id, salt, label, ikm):
    return _extract(salt, b"HPKE-v1" + suite_id + label + ikm)


def _labeled_expand(suite_id, prk, label, info, length):
    return _expand(prk, length.to_bytes(2, "big") + b"HPKE-v1" + suite_id + label + info, length)


def _x25519(private, public):
    return X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))


def _x25519_public(private):
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def dhkem(public, ikm):
    """DHKEM(X25519, HKDF-SHA256): `enc` and the shared secret, the ephemeral key by DeriveKeyPair(ikm)."""
    suite_id = b"KEM" + KEM_ID[1].to_bytes(2, "big")
    ephemeral = _labeled_expand(suite_id, _labeled_extract(suite_id, b"", b"dkp_prk", ikm), b"sk", b"", 32)
    enc = _x25519_public(ephemeral)
    prk = _labeled_extract(suite_id, b"", b"eae_prk", _x25519(ephemeral, public))
    return enc, _labeled_expand(suite_id, prk, b"shared_secret", enc + public, 32)


def xwing(public, seed):
    """X-Wing: `enc` and the shared secret, from the `m` of ML-KEM and the ephemeral key of X25519."""
    mlkem, x25519 = public[:MLKEM_PUBLIC], public[MLKEM_PUBLIC:]
    secret_m, enc_m = ML_KEM_768._encaps_internal(mlkem, seed[:32])
    enc_x, secret_x = _x25519_public(seed[32:]), _x25519(seed[32:], x25519)
    return enc_m + enc_x, hashlib.sha3_256(secret_m + secret_x + enc_x + x25519 + XWING_LABEL).digest()


def key_schedule(suite, secret, info):
    """Key and base nonce in base mode."""
    suite_id = b"HPKE" + b"".join(one.to_bytes(2, "big") for one in (KEM_ID[suite], KDF_ID, AEAD_ID))
    context = b"\0" + b"".join(
        _labeled_extract(suite_id, b"", label, value) for label, value in ((b"psk_id_hash", b""), (b"info_hash", info))
    )
    prk = _labeled_extract(suite_id, secret, b"secret", b"")
    key = _labeled_expand(suite_id, prk, b"key", context, 32)
    return key, _labeled_expand(suite_id, prk, b"base_nonce", context, 12)


def seal(suite, public, info, plaintext, randomness):
    """`enc` and the ciphertext of one single-shot seal with empty `aad`."""
    enc, secret = (dhkem if suite == 1 else xwing)(public, randomness)
    key, nonce = key_schedule(suite, secret, info)
    return enc, AESGCM(key).encrypt(nonce, plaintext, b"")
