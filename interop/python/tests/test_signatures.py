"""Each vector of kind `signature` has the reason it is named for: a verifier without that demand accepts it."""

import hashlib
import unittest

from generator.points import BASE, add, compress, multiply
from generator.subjects.signatures import TORSION
from mta_seal_py import ed25519
from mta_seal_py.ed25519 import ORDER, P
from mta_seal_py.tasks import octets

from .test_vectors import VECTORS


def decode(encoding):
    """The point of any encoding, canonical or not; None off the curve."""
    value = int.from_bytes(encoding, "little")
    sign, y = value >> 255, value % (1 << 255) % P
    found = ed25519.decompress((y | sign << 255).to_bytes(32, "little"))
    return found or ed25519.decompress(y.to_bytes(32, "little"))


def verify(vector, reduced=True, reencoded=False, cofactor=1):
    """The equation alone."""
    key, message, signature = (octets(vector["input"][name]) for name in ("public_key", "message", "signature"))
    a, r, s = decode(key), decode(signature[:32]), int.from_bytes(signature[32:], "little")
    hashed = (compress(r), compress(a)) if reencoded else (signature[:32], key)
    challenge = int.from_bytes(hashlib.sha512(b"".join(hashed) + message).digest(), "little")
    right = add(r, multiply(challenge % ORDER if reduced else challenge, a))
    return multiply(cofactor, multiply(s, BASE)) == multiply(cofactor, right)


SIGNATURES = {name: one for name, one in VECTORS.items() if one["kind"] == "signature"}
# Octets were changed, so that no equation holds.
CHANGED = {"message", "key", "bit-of-r", "bit-of-s", "sign-of-r", "r-wide"}
# Nothing that could be put into an equation.
MALFORMED = {"key-short", "key-long", "key-off-curve", "r-off-curve", "short", "long"}


def without(name):
    """The equation without the demand that a refusal is named for."""
    changed = {}
    if "cofactor" in name:
        changed["cofactor"] = 8
    if name.endswith("-rehashed"):
        changed["reencoded"] = True
    if name == "hash-not-reduced":
        changed["reduced"] = False
    return changed


class Reasons(unittest.TestCase):
    def test_done(self):
        done = [one for name, one in SIGNATURES.items() if name.startswith("signature/done/")]
        self.assertTrue(done)
        for one in done:
            self.assertTrue(verify(one), one["name"])
        self.assertFalse(verify(SIGNATURES["signature/done/hash-reduced"], reduced=False))

    def test_refused(self):
        refused = {name.removeprefix("signature/refused/"): one for name, one in SIGNATURES.items() if "twin" in one}
        self.assertGreater(len(refused), 140)
        for name, one in refused.items():
            with self.subTest(name):
                if name in CHANGED:
                    self.assertFalse(verify(one, cofactor=8))
                elif name not in MALFORMED:
                    changed = without(name)
                    self.assertTrue(verify(one, **changed))
                    # Where it is the equation that refuses, it does.
                    self.assertEqual(verify(one), not changed)

    def test_all_points_of_small_order_and_all_their_encodings(self):
        encodings = {(y | sign << 255).to_bytes(32, "little") for _, y in TORSION for sign in (0, 1)}
        encodings |= {(y + P | sign << 255).to_bytes(32, "little") for y in (0, 1) for sign in (0, 1)}
        self.assertEqual(len(encodings), 14)
        refused = [one["input"] for one in SIGNATURES.values() if "twin" in one and verify_all(one)]
        self.assertEqual(encodings & {octets(one["public_key"]) for one in refused}, encodings)
        self.assertEqual(encodings & {octets(one["signature"])[:32] for one in refused}, encodings)


def verify_all(vector):
    """Whether the plain equation holds, for what has an equation."""
    return vector["name"].rpartition("/")[2] not in MALFORMED and verify(vector)
