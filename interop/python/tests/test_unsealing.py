"""Round trips, and every check of [R-uns-01] with its place in the order."""

import os
import tempfile
import unittest

from mta_seal_py import content, envelope, failures, publishing, unsealing
from mta_seal_py.claims import Claims
from mta_seal_py.message import check_octets
from mta_seal_py.ownkeys import OwnKeys
from mta_seal_py.paths import ForwardPath, ReversePath
from mta_seal_py.wire import uint, vector

from . import faults, prefixes
from .forge import NOW, Forge, extension_header, records_of


def extension(kind, critical, value=b""):
    """One encoded extension."""
    return uint(kind, 2) + uint(critical, 1) + vector(value, 0, 2**16 - 1)


class RoundTrips(unittest.TestCase):
    SIZES = (0, 1, 2, 100, 3600, 4096, 16383, 16384, 16385, 32768, 32769, 65535, 65536, 100000, 262144, 2**20)

    def test_sizes_and_suites(self):
        for suite in (1, 2):
            forge = Forge(numbers=(suite,))
            for size in self.SIZES:
                message = (os.urandom(size // 2).hex() + "x" * (size % 2)).encode()
                with self.subTest(suite=suite, size=size):
                    self.assertEqual(forge.unseal(forge.envelope(message)).message, message)

    def test_block_sizes(self):
        forge = Forge(numbers=(1,))
        for size in (1, 2, 255, 256, 4096, 65535):
            message = b"a line\r\n" * 1000
            self.assertEqual(forge.unseal(forge.envelope(message, block_size=size)).message, message)

    def test_parameters(self):
        forge = Forge()
        reverse = ReversePath('"a b"@a.example', body=2, smtputf8=1, ret=2, envid="QQ314159")
        forward = (
            ForwardPath("V@B.Example", notify=14, orcpt="rfc822;a+2Bb@b.example"),
            ForwardPath("\u00fc@b.example", notify=1, orcpt="utf-8;\u00fc@b.example"),
        )
        octets = forge.envelope(prefix_octets=forge.prefix(reverse_path=reverse, forward_paths=forward).encode())
        verified = forge.unseal(octets)
        self.assertEqual(verified.prefix.reverse_path, reverse)
        self.assertEqual(verified.recipients, forward)

    def test_the_length_is_a_function_of_the_lengths(self):
        forge = Forge()
        lengths = {len(forge.carrier(message=os.urandom(500).hex().encode())) for _ in range(5)}
        self.assertEqual(len(lengths), 1)


class Order(unittest.TestCase):
    def test_each_fault(self):
        forge = Forge(numbers=(1,))
        for fault, failure in faults.ORDER.items():
            with self.subTest(fault), self.assertRaises(failure) as caught:
                forge.unseal(faults.envelope(forge, {fault}))
            self.assertEqual(caught.exception.stage, fault)

    def test_the_first_of_two_decides(self):
        forge = Forge(numbers=(1,))
        names = list(faults.ORDER)
        for index, first in enumerate(names):
            for second in names[index + 1 :]:
                with self.subTest(first=first, second=second), self.assertRaises(faults.ORDER[first]):
                    forge.unseal(faults.envelope(forge, {first, second}))


class Header(unittest.TestCase):
    def setUp(self):
        self.forge = Forge(numbers=(1,))

    def refused(self, octets, answer, failure=failures.HeaderRefused):
        """Asserts how an envelope is refused."""
        with self.assertRaises(failure) as caught:
            self.forge.unseal(octets)
        self.assertEqual(caught.exception.answer, answer)

    def with_extensions(self, octets):
        """An envelope with this content of the vector."""
        return self.forge.envelope(header_octets=extension_header(self.forge.header(), octets))

    def test_extensions(self):
        room = envelope.MAX_HEADER - len(self.forge.header().encode()) - 5
        for good in (extension(5, 0, b"x"), extension(1, 0) + extension(2, 0), extension(1, 0, b"a" * room)):
            self.assertTrue(self.forge.unseal(self.with_extensions(good)))
        self.refused(self.with_extensions(extension(5, 1)), "carrier-unsupported")
        for bad in (
            extension(5, 1) + extension(4, 0),
            extension(5, 0) + extension(5, 0),
            extension(5, 2),
            extension(5, 0)[:-1],
            extension(1, 0, b"a" * (room + 1)),
            extension(1, 1, b"a" * (room + 1)),
        ):
            with self.subTest(bad[:8]):
                self.refused(self.with_extensions(bad), "carrier-malformed")

    def test_version_and_suite(self):
        good = self.forge.envelope()
        for octets in (
            good[:8] + b"\x02" + good[9:],
            good[:8] + b"\x00",
            good[:9] + b"\x00\x00" + good[11:],
            good[:9] + b"\x00\x07" + good[11:43] + b"\x00",
        ):
            self.refused(octets, "carrier-unsupported")
        self.refused(b"\xd3MTASEAM" + good[8:], "carrier-malformed")

    def test_recipient_domain(self):
        good, plain = self.forge.envelope(), len(self.forge.header().encode())
        for domain in (
            b"B.example",
            b"b.example.",
            b"example",
            b"b..example",
            b"-b.example",
            b"b-.example",
            b"1.2.3.4",
            b"b.ex\xc3\xbc",
            b"a" * 64 + b".example",
            b"b example.example",
            b"",
        ):
            with self.subTest(domain):
                octets = good[:43] + uint(len(domain), 1) + domain + b"\0\0" + good[plain:]
                self.refused(octets, "carrier-malformed")

    def test_truncated(self):
        good, plain = self.forge.envelope(), len(self.forge.header().encode())
        for end in (0, 7, 8, 10, 30, 43, 50, plain - 1, plain, plain + 20, plain + 79):
            with self.subTest(end):
                self.refused(good[:end], "unauthentic")
        for end in (plain + 80, plain + 80 + 55):
            self.refused(good[:end], "unauthentic", failures.CommitmentRefused)
        for end in (plain + 80 + 56, len(good) - 1):
            self.refused(good[:end], "unauthentic", failures.BodyRefused)
        self.refused(good + b"\0", "unauthentic", failures.BodyRefused)

    def test_whole_chunks_missing(self):
        octets, plain = self.forge.envelope(b"x" * 40000), len(self.forge.header().encode())
        for chunks in (1, 2):
            self.refused(octets[: plain + 80 + 56 + chunks * 16400], "unauthentic", failures.BodyRefused)

    def test_another_key_of_the_same_domain_is_not_tried(self):
        forge = Forge(numbers=(1, 1))
        other = forge.recipient.sealing[1].key_id
        with self.assertRaises(failures.HpkeRefused):
            forge.unseal(forge.envelope(header=forge.header(key_id=other)))


class Prefix(unittest.TestCase):
    def setUp(self):
        self.forge = Forge(numbers=(1,))

    def unseal(self, **changes):
        """Unseals a prefix with changes."""
        return self.forge.unseal(self.forge.envelope(prefix_octets=self.forge.prefix(**changes).encode()))

    def test_accepted(self):
        for changes in prefixes.ACCEPTED:
            with self.subTest(str(changes)[:60]):
                self.assertTrue(self.unseal(**changes))

    def test_refused(self):
        for failure, changes in prefixes.REFUSED:
            with self.subTest(str(changes)[:60]), self.assertRaises(failure):
                self.unseal(**changes)

    def test_encoding(self):
        good = self.forge.prefix().encode()
        for octets in (good + b"x", good[:-1], b"\x01", good.replace(b"v@b.example", b"\xff@b.example")):
            with self.subTest(octets[:20]), self.assertRaises(failures.PrefixRefused):
                self.forge.unseal(self.forge.envelope(prefix_octets=octets))


class Content(unittest.TestCase):
    def setUp(self):
        self.forge = Forge(numbers=(1,))

    def test_refused(self):
        for failure, changes in [
            (failures.OpeningRefused, {"opening_prefix": b"x"}),
            (failures.OpeningRefused, {"salt": bytes(24)}),
            (failures.PaddingRefused, {"extra_padding": -1}),
            (failures.PaddingRefused, {"extra_padding": 4096}),
            (failures.PaddingRefused, {"padding_octet": b"\1"}),
            (failures.BytesRefused, {"message": b"a\nb\r\n"}),
            (failures.BytesRefused, {"message": b"a\rb\r\n"}),
            (failures.BytesRefused, {"message": b"a\0b\r\n"}),
            (failures.BytesRefused, {"message": b"a\r"}),
            (failures.BytesRefused, {"message": b"\n"}),
            (failures.BytesRefused, {"blocks": vector(b"x\r\n", 0, 65535) + b"\xff\xff"}),
            (failures.PrefixRefused, {"content_octets": b""}),
            (failures.PrefixRefused, {"content_octets": bytes(4096)}),
            (failures.PrefixRefused, {"content_octets": b"\xff" * 4096}),
        ]:
            with self.subTest(str(changes)[:60]), self.assertRaises(failure):
                self.forge.unseal(self.forge.envelope(**changes))

    def test_crlf_across_blocks(self):
        for size in (4, 5):
            self.assertTrue(self.forge.unseal(self.forge.envelope(b"abc\r\ndef\r\n", block_size=size)))

    def test_the_message_may_end_without_a_line_end(self):
        self.assertEqual(self.forge.unseal(self.forge.envelope(b"abc")).message, b"abc")

    def test_blocks_that_leave_no_room_for_the_closing_signature(self):
        for octets in range(content.SIGNATURE):
            rest = vector(b"", 0, 65535) + bytes(octets)
            _, end = content.message_of(rest, check_octets)
            with self.assertRaises(failures.PaddingRefused):
                # Of a length that would be right with so few octets for the signature.
                content.check_padding(4096, rest, end)

    def test_a_block_that_does_not_end(self):
        start = vector(b"x\r\n", 0, 65535) + b"\xff\xff"
        with self.assertRaises(failures.BlocksRefused):
            content.message_of(start + b"y\r\n", check_octets)
        with self.assertRaises(failures.BytesRefused):
            content.message_of(start + b"y\0", check_octets)


class SenderPolicy(unittest.TestCase):
    def test_states(self):
        forge = Forge(numbers=(1,))
        octets = forge.envelope()
        for serial, expiry, answer in ((NOW - 10, NOW, "sender-unknown"), (NOW + 4000, NOW + 9000, "sender-unknown")):
            records = records_of(publishing.records(forge.sender, "enforce", serial, expiry))
            with self.assertRaises(failures.SenderPolicyRefused) as caught:
                forge.unseal(octets, records=records)
            self.assertEqual(caught.exception.answer, answer)
        with self.assertRaises(failures.SenderPolicyRefused) as caught:
            forge.unseal(octets, records=records_of())
        self.assertEqual(caught.exception.answer, "sender-unknown")
        with self.assertRaises(failures.SenderPolicyRefused):
            forge.unseal(octets, records=records_of(forge.sender_records, forge.sender_records))

    def test_mode_none_still_lists_keys(self):
        forge = Forge(numbers=(1,))
        records = records_of(publishing.records(forge.sender, "none", NOW - 10, NOW + 10))
        self.assertTrue(forge.unseal(forge.envelope(), records=records))

    def test_second_signing_key(self):
        forge = Forge(numbers=(1,))
        octets = forge.envelope()
        forge.sender.signing.insert(0, os.urandom(32))
        records = records_of(publishing.records(forge.sender, "enforce", NOW - 10, NOW + 10))
        self.assertTrue(forge.unseal(octets, records=records))
        with self.assertRaises(failures.OpeningRefused):
            named = forge.prefix().encode()
            forge.unseal(forge.envelope(prefix_octets=named, opening_seed=forge.sender.signing[1]), records=records)


class Recipients(unittest.TestCase):
    def setUp(self):
        self.forge = Forge(numbers=(1,))
        paths = tuple(ForwardPath(f"{name}@b.example") for name in ("v", "W", '"x y"'))
        self.octets = self.forge.envelope(prefix_octets=self.forge.prefix(forward_paths=paths).encode())

    def test_matching(self):
        for outer, kept, refused in [
            (None, ["v", "W", '"x y"'], []),
            (["v@b.example"], ["v"], []),
            (["v@\uff42.example"], ["v"], []),
            (["v@B.EXAMPLE", "w@b.example"], ["v"], ["w@b.example"]),
            (["z@b.example", "W@b.example"], ["W"], ["z@b.example"]),
        ]:
            verified = self.forge.unseal(self.octets, outer)
            self.assertEqual([path.mailbox for path in verified.recipients], [f"{one}@b.example" for one in kept])
            self.assertEqual(list(verified.refused), refused)

    def test_none_left(self):
        for outer in (["V@b.example"], ["v@c.example"], []):
            with self.assertRaises(failures.RecipientsRefused):
                self.forge.unseal(self.octets, outer)

    def test_claims_outlast_the_process_and_the_envelope(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "claims")
            self.forge.unseal(self.octets, ["v@b.example"], claims=Claims(path))
            with self.assertRaises(failures.DeliveredRefused):
                self.forge.unseal(self.octets, ["v@B.example"], claims=Claims(path))
            both = self.forge.unseal(self.octets, ["v@b.example", "W@b.example"], claims=Claims(path))
            self.assertEqual([one.mailbox for one in both.recipients], ["W@b.example"])
            again = self.forge.envelope()  # another envelope, the same delivery id
            with self.assertRaises(failures.DeliveredRefused):
                self.forge.unseal(again, claims=Claims(path))
            fresh = self.forge.envelope(prefix_octets=self.forge.prefix(delivery_id=b"1" * 16).encode())
            self.assertTrue(self.forge.unseal(fresh, claims=Claims(path)))

    def test_nothing_is_claimed_by_a_refused_envelope(self):
        claims = Claims()
        with self.assertRaises(failures.ClosingRefused):
            self.forge.unseal(faults.envelope(self.forge, {"closing"}), claims=claims)
        self.assertTrue(self.forge.unseal(self.forge.envelope(), claims=claims))


class Domains(unittest.TestCase):
    def test_a_key_serves_its_own_domain_only(self):
        forge, other = Forge(numbers=(1,)), OwnKeys.generate("c.example", (1,))
        octets = forge.envelope(header=forge.header(recipient_domain="c.example"))
        with self.assertRaises(failures.KeyRefused):
            unsealing.unseal_envelope(envelope.parse(octets), [forge.recipient, other], forge.records, None, NOW)
