"""[R-sig-01]."""

import hashlib
import unittest

from generator.points import BASE, add, compress, multiply, of_order_8, torsion
from mta_seal_py import ed25519
from mta_seal_py.ed25519 import ORDER, P

SEED = bytes(range(32))
MESSAGE = b"message"


def challenge(r, a, message):
    """The hash of RFC 8032."""
    return int.from_bytes(hashlib.sha512(r + a + message).digest(), "little") % ORDER


class Verification(unittest.TestCase):
    def setUp(self):
        self.public = ed25519.public_key(SEED)
        self.signature = ed25519.sign(SEED, MESSAGE)

    def test_good(self):
        self.assertTrue(ed25519.verify(self.public, self.signature, MESSAGE))
        self.assertFalse(ed25519.verify(self.public, self.signature, b"other"))

    def test_rfc_8032(self):
        seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
        public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        self.assertEqual(ed25519.public_key(seed).hex(), public)
        self.assertTrue(ed25519.verify(ed25519.public_key(seed), ed25519.sign(seed, b""), b""))

    def test_s_not_below_the_order(self):
        s = int.from_bytes(self.signature[32:], "little") + ORDER
        self.assertFalse(ed25519.verify(self.public, self.signature[:32] + s.to_bytes(32, "little"), MESSAGE))

    def test_small_order_a_and_r(self):
        points = torsion()
        self.assertEqual(len(set(points)), 8)
        for point in points:
            encoding = compress(point)
            self.assertFalse(ed25519.is_good_point(encoding))
            # R = S·B - k·A with A of small order: S = 0 and R = -k·A would verify without the check.
            self.assertFalse(ed25519.verify(encoding, compress((0, 1)) + bytes(32), MESSAGE))
            self.assertFalse(ed25519.verify(self.public, encoding + self.signature[32:], MESSAGE))

    def test_r_of_small_order_that_satisfies_the_equation(self):
        secret = int.from_bytes(hashlib.sha512(SEED).digest()[:32], "little")
        secret = secret & ~7 & (1 << 254) - 1 | 1 << 254
        self.assertEqual(compress(multiply(secret, BASE)), self.public)
        r = compress((0, 1))
        s = challenge(r, self.public, MESSAGE) * secret % ORDER
        self.assertFalse(ed25519.verify(self.public, r + s.to_bytes(32, "little"), MESSAGE))

    def test_not_canonical(self):
        for y in range(P, 2**255):
            for sign in (0, 1 << 255):
                encoding = (y | sign).to_bytes(32, "little")
                self.assertFalse(ed25519.is_good_point(encoding))
                self.assertFalse(ed25519.verify(self.public, encoding + self.signature[32:], MESSAGE))
        self.assertFalse(ed25519.is_good_point((1 | 1 << 255).to_bytes(32, "little")))

    def test_equation_without_cofactor(self):
        secret = 12345
        torsion_point = of_order_8()
        mixed = compress(add(multiply(secret, BASE), torsion_point))
        results = set()
        for nonce in range(1, 40):
            r = compress(multiply(nonce, BASE))
            k = challenge(r, mixed, MESSAGE)
            s = (nonce + k * secret) % ORDER
            verified = ed25519.verify(mixed, r + s.to_bytes(32, "little"), MESSAGE)
            self.assertEqual(verified, k % 8 == 0)
            results.add(verified)
        self.assertEqual(results, {True, False})

    def test_lengths(self):
        self.assertFalse(ed25519.verify(self.public, self.signature[:-1], MESSAGE))
        self.assertFalse(ed25519.verify(self.public[:-1], self.signature, MESSAGE))
