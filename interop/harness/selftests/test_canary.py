"""The search for canaries: each canary, under each encoding and under each two, and nothing where nothing is hidden."""

import random
import sys
import unittest
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from harness import canary, decoders, live, wire  # noqa: E402
from harness.encoders import ENCODERS  # noqa: E402

WORD = canary.make("to")
NOISE = random.Random(1).randbytes(300)


def tap(*hidden):
    """What a hop has recorded of a session, with this in the message."""
    record = wire.Record("tap")
    record.add(b"MAIL FROM:<u@left.example> RET=HDRS\r\n250 ok\r\nDATA\r\n354 go on\r\nSubject: x\r\n\r\n")
    for one in hidden:
        record.add(b"--mark\r\n\r\n" + one + b"\r\n\r\n")
    record.add(NOISE + b"\r\n--mark--\r\n.\r\n250 2.0.0 ok\r\n")
    return record.octets()


def found(octets, words=live.CANARIES):
    """The words that are found, with the ways."""
    return {word: ways for word, ways in canary.Record(octets).find(words).items() if ways}


class Planted(unittest.TestCase):
    """What is hidden is found."""

    def test_every_canary_in_every_encoding(self):
        for encoder in ENCODERS:
            for word in live.CANARIES:
                with self.subTest(encoder.name, word=word):
                    seen = found(tap(encoder.encode(word.encode())))
                    self.assertEqual(list(seen), [word])
                    self.assertIn(encoder.way, seen[word])

    def test_every_canary_in_every_two_encodings(self):
        tried = 0
        for inner in ENCODERS:
            for outer in ENCODERS:
                if not outer.takes(inner):
                    continue
                with self.subTest(f"{inner.name} in {outer.name}"):
                    hidden = [outer.encode(inner.encode(word.encode())) for word in live.CANARIES]
                    self.assertEqual(set(found(tap(*hidden))), set(live.CANARIES))
                    tried += 1
        self.assertGreater(tried, 0.8 * len(ENCODERS) ** 2)

    def test_each_way_in_itself_and_in_base64_to_the_depth(self):
        ways = {encoder.way: encoder for encoder in reversed(ENCODERS)}
        for encoder in ways.values():
            for outer in (encoder, ways["base64"]):
                octets = encoder.encode(WORD.encode())
                for _ in range(canary.DEPTH - 1):
                    octets = outer.encode(octets) if outer.takes(encoder) else octets
                with self.subTest(f"{encoder.name} in {outer.name}"):
                    self.assertTrue(found(tap(octets), [WORD]))
        base64, octets = ways["base64"], WORD.encode()
        for _ in range(canary.DEPTH):
            octets = base64.encode(octets)
        self.assertIn("base64 in base64 in base64", found(tap(octets), [WORD])[WORD])
        self.assertEqual(found(tap(base64.encode(base64.encode(octets))), [WORD]), {}, "deeper than is claimed")

    def test_every_decoder_is_tried(self):
        made = {name for encoder in ENCODERS for one in decoders.DECODERS
                for name, octets in one(decoders.View(encoder.encode(WORD.encode()))) if WORD.encode() in octets}
        self.assertEqual(made, {encoder.way for encoder in ENCODERS})

    def test_letters_of_either_case(self):
        for encoder in ENCODERS:
            with self.subTest(encoder.name):
                self.assertTrue(found(tap(encoder.encode(WORD.upper().encode())), [WORD]))
        for at in range(3):
            base64 = ENCODERS[at]
            self.assertEqual(base64.way, "base64")
            name = b"\x3f" + base64.encode(WORD.encode()).rstrip(b"=").lower() + b"\x07example\0"
            self.assertEqual(found(name, [WORD]), {WORD: ["base64 of one case"]}, "as a name in DNS")

    def test_plain_folded_and_in_xtext(self):
        word, half = WORD.encode(), len(WORD) // 2
        for octets in (word, word[:half] + b"\r\n\t" + word[half:], word[:half] + b"=\r\n" + word[half:]):
            self.assertIn("plain", found(tap(octets), [WORD])[WORD])
        self.assertEqual(found(f"MAIL FROM:<> ENVID={canary.in_xtext(WORD)}".encode(), [WORD]), {WORD: ["xtext"]})

    def test_streams_are_read_up_to_where_they_are_damaged(self):
        for encoder in ENCODERS:
            if encoder.makes_text or not encoder.way.startswith(("gzip", "zlib", "deflate")):
                continue
            long = encoder.encode(WORD.encode() + NOISE * 20)
            for damaged in (long[: len(long) // 2], long[: len(long) // 2] + NOISE + long[len(long) // 2 :]):
                with self.subTest(encoder.name):
                    self.assertTrue(found(tap(damaged), [WORD]))


class NotPlanted(unittest.TestCase):
    """What is not there is not found."""

    def test_nothing_in_a_tap(self):
        self.assertEqual(found(tap()), {})
        self.assertEqual(found(tap(random.Random(2).randbytes(20000))), {})
        self.assertEqual(found(b""), {})

    def test_nothing_of_the_canaries_of_another_run(self):
        others = [canary.make(word.split("-")[1]) for word in live.CANARIES]
        for encoder in ENCODERS:
            with self.subTest(encoder.name):
                self.assertEqual(found(tap(*(encoder.encode(word.encode()) for word in others))), {})

    def test_what_cannot_be_searched_whole_is_not_clean(self):
        bomb = zlib.compress(bytes(decoders.LARGEST + 1))
        with self.assertRaises(canary.TooMuch):
            canary.Record(tap(bomb)).any(live.CANARIES)
        with self.assertRaisesRegex(live.Failed, "the relay.*more than"):
            live.none_in("the relay", b"something known" + bomb, "known", live.CANARIES)
        many = b"".join(zlib.compress(bytes([number]) * decoders.LARGEST) for number in range(12))
        with self.assertRaisesRegex(canary.TooMuch, "too many"):
            canary.Record(many).any(live.CANARIES)

    def test_a_place_that_has_not_seen_what_it_must_is_worth_nothing(self):
        def said(octets, known="known"):
            try:
                live.none_in("the relay", octets, known, [WORD])
            except live.Failed as failed:
                return str(failed)
            return None

        self.assertIsNone(said(b"something known"))
        self.assertIn("has not seen 'known'", said(b"something else"))
        self.assertIn("has not seen 'known'", said(b""))
        self.assertIn("nothing is known", said(b"something known", None))
        self.assertIn("has seen canary-to", said(b"something known, and " + WORD.encode().hex().encode()))


if __name__ == "__main__":
    unittest.main()
