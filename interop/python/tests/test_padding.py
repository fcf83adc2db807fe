"""[R-con-05]."""

import unittest

from mta_seal_py.padding import padded_length, padme

from .forge import Forge


def borders(limit):
    """Every padded length up to a limit."""
    length, found = 4096, []
    while length <= limit:
        found.append(length)
        length = padded_length(length + 1)
    return found


class Padding(unittest.TestCase):
    def test_is_the_least_multiple(self):
        for length in range(4096, 70000):
            e = length.bit_length() - 1
            z = e - ((e).bit_length() - 1 + 1)
            padded = padme(length)
            self.assertTrue(padded % (1 << z) == 0 and 0 <= padded - length < 1 << z)

    def test_examples(self):
        for length, padded in {
            0: 4096,
            4096: 4096,
            4097: 4352,
            8192: 8192,
            8193: 8704,
            65535: 65536,
            65536: 65536,
            65537: 67584,
            2**20: 2**20,
            2**20 + 1: 2**20 + 32768,
        }.items():
            self.assertEqual(padded_length(length), padded, length)

    def test_padded_stays(self):
        for length in borders(2**20):
            self.assertEqual(padded_length(length), length)

    def test_round_trip_at_every_border(self):
        forge = Forge(numbers=(1,))
        overhead = 3 + len(forge.prefix().encode()) + 128
        for border in borders(2**20):
            for total in (border, border + 1):
                # 65,535 octets a block: few of them, and the length of the message follows from the total.
                room = total - overhead - 2
                message = b"x" * (room - 2 * -(-room // 65537))
                content_length = forge.content_length(message, 65535)
                self.assertEqual(content_length, padded_length(total))
                self.assertEqual(forge.unseal(forge.envelope(message, block_size=65535)).message, message)
