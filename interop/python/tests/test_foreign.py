"""Vectors of others: what the generator does by hand, and the library under this implementation."""

import json
import unittest
from pathlib import Path

from generator import hpke
from mta_seal_py import ed25519, suites

FOLDER = Path(__file__).resolve().parents[3] / "test-vectors" / "foreign"


def entries(name):
    """The vectors of a file, octets for hexadecimal digits."""
    for one in json.loads((FOLDER / name).read_text("ascii")):
        yield {key: bytes.fromhex(value) if isinstance(value, str) else value for key, value in one.items()}


class Hpke(unittest.TestCase):
    def test_dhkem(self):
        for one in entries("hpke-rfc9180.json"):
            self.assertEqual(suites.public_of_private(1, one["skRm"]), one["pkRm"])
            enc, secret = hpke.dhkem(one["pkRm"], one["ikmE"])
            self.assertEqual((enc, secret), (one["enc"], one["shared_secret"]))

    def test_key_schedule(self):
        for one in entries("hpke-rfc9180.json"):
            key, nonce = hpke.key_schedule(1, one["shared_secret"], one["info"])
            self.assertEqual((key, nonce), (one["key"], one["base_nonce"]))

    def test_xwing(self):
        made = [
            *((one["pk"], one["eseed"], one["ct"], one["ss"], one["seed"]) for one in entries("x-wing.json")),
            *((o["pkRm"], o["ikmE"], o["enc"], o["shared_secret"], o["skRm"]) for o in entries("hpke-pq.json")),
        ]
        self.assertEqual(len(made), 4)
        for public, randomness, ciphertext, secret, seed in made:
            self.assertEqual(suites.public_of_private(2, seed), public)
            self.assertEqual(hpke.xwing(public, randomness), (ciphertext, secret))


class OddPoints(unittest.TestCase):
    """Signatures whose points are odd in one way or another."""

    # What [R-sig-01] leaves to a point: a part of small order, in a canonical encoding, with the equation holding as it is.
    ALLOWED = {"low_order_component_A", "low_order_component_R"}

    def test_cctv(self):
        file = json.loads((FOLDER / "cctv-ed25519.json").read_text("ascii"))
        accepted = 0
        for at, (number, key, signature, message, odd) in enumerate(file["vectors"]):
            self.assertEqual(number, at)
            octets = bytes.fromhex(file["keys"][key]), bytes.fromhex(signature), message.encode("ascii")
            allowed = {file["flags"][flag] for flag in odd} <= self.ALLOWED
            self.assertEqual(ed25519.verify(*octets), allowed, number)
            accepted += allowed
        self.assertEqual((len(file["vectors"]), accepted), (914, 43))
