"""Parts of the harness that a run with toy peers does not reach."""

import base64
import io
import quopri
import sys
import unittest
import urllib.parse
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from harness import canary, judge, live, relays, wire  # noqa: E402
from harness.cases import all_cases, without_padding  # noqa: E402
from harness.cells import FAILED, PASSED  # noqa: E402
from harness.contract import Task  # noqa: E402
from harness.gateways import Dns, _name, on_the_wire  # noqa: E402
from harness.wire import rig  # noqa: E402
from harness.progress import Progress  # noqa: E402

CARRIER = (
    b"Date: Thu, 26 Nov 2026 00:00:00 +0000\r\nFrom: mta-seal@a.example\r\nTo: mta-seal@b.example\r\n"
    b'Subject: Sealed message\r\nContent-Type: multipart/mixed;\r\n boundary="mark"\r\n\r\n'
    b"--mark\r\nContent-Type: text/plain\r\n\r\nSealed.\r\n"
    b'--mark\r\nContent-Type: application/mta-seal; name="message.mtaseal"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
    + relays._lines(b"\xd3MTASEAL" + bytes(40) + b"b.example" + bytes(range(256)) * 20)
    + b"\r\n--mark--\r\n"
)


class Canaries(unittest.TestCase):
    """The search finds a word however it is encoded, and nothing where there is none."""

    WORD = canary.make("test")

    def found(self, octets):
        """The encodings that are seen."""
        return canary.Record(octets).seen(self.WORD)

    def test_nothing_is_found_in_noise(self):
        self.assertEqual(self.found(bytes(range(256)) * 1000), [])
        self.assertEqual(self.found(canary.make("test").encode()), [])

    def test_plain_and_folded(self):
        self.assertIn("plain", self.found(b"x" + self.WORD.encode() + b"x"))
        self.assertIn("plain", self.found(self.WORD.upper().encode()))
        self.assertIn("plain", self.found(self.WORD[:9].encode() + b"\r\n " + self.WORD[9:].encode()))
        self.assertIn("plain", self.found(self.WORD[:9].encode() + b"=\r\n" + self.WORD[9:].encode()))

    def test_base64_at_every_offset_and_wrapping(self):
        for before in range(7):
            for after in range(4):
                octets = bytes(range(1, before + 1)) + self.WORD.encode() + b"\xff" * after
                coded = base64.b64encode(octets)
                self.assertTrue(self.found(coded), (before, after))
                self.assertTrue(self.found(coded[:11] + b"\r\n" + coded[11:]), (before, after))
                self.assertTrue(self.found(base64.urlsafe_b64encode(octets)), (before, after))

    def test_other_encodings(self):
        word = self.WORD.encode()
        for octets in (
            quopri.encodestring(word),
            b"".join(b"=%02x" % octet for octet in word),
            word.hex().encode(),
            word.hex().upper().encode(),
            self.WORD.encode("utf-16"),
            self.WORD.encode("utf-16-be"),
            base64.b64encode(self.WORD.encode("utf-16-le")),
            urllib.parse.quote(self.WORD).encode(),
            "".join(f"%{octet:02x}" for octet in word).encode(),
            word[::-1],
        ):
            self.assertTrue(self.found(b"before " + octets + b" behind"), octets)


    def test_a_place_that_has_not_seen_what_it_must_is_worth_nothing(self):
        def said(octets, known="known"):
            try:
                live.none_in("the relay", octets, known, [self.WORD])
            except live.Failed as failed:
                return str(failed)
            return None

        self.assertIsNone(said(b"something known"))
        self.assertIn("has not seen 'known'", said(b"something else"))
        self.assertIn("has not seen 'known'", said(b""))
        self.assertIn("nothing is known", said(b"something known", None))
        self.assertIn("has seen canary-test", said(b"something known, and " + self.WORD.encode().hex().encode()))


class Judging(unittest.TestCase):
    """An answer is the expected one, or it is not."""

    class Peer:
        """One that claims everything."""

        name, kinds = "peer", {"unseal", "padding"}

    def judged(self, result, expected):
        """The status of a result."""
        task = Task("unseal", {}, result)
        return judge.judge(self.Peer, task, expected)[0]

    def test_members_must_be_there_and_equal(self):
        self.assertEqual(self.judged({"result": "done", "a": 1, "more": 2}, {"result": "done", "a": 1}), PASSED)
        for wrong in ({}, {"a": 2}, {"a": True}, {"a": "1"}, {"a": None}):
            self.assertEqual(self.judged({"result": "done", **wrong}, {"result": "done", "a": 1}), FAILED, wrong)

    def test_a_refusal_is_of_the_right_kind(self):
        expected = {"result": "refused", "stage": "hpke", "failure": "unauthentic"}
        self.assertEqual(self.judged({**expected}, expected), PASSED)
        self.assertEqual(self.judged({"result": "refused", "failure": "unauthentic"}, expected), PASSED)
        self.assertEqual(self.judged({"result": "refused"}, expected), FAILED)
        self.assertEqual(self.judged({**expected, "stage": "body"}, expected), FAILED)
        self.assertEqual(self.judged({**expected, "failure": "none"}, expected), FAILED)
        self.assertEqual(self.judged({"result": "done"}, expected), FAILED)
        self.assertEqual(self.judged(expected, {"result": "done"}), FAILED)

    def test_domains_have_no_case_and_local_parts_have(self):
        def paths(mailbox):
            return {"result": "done", "forward_paths": [{"mailbox": mailbox, "notify": 0, "orcpt": ""}]}

        self.assertEqual(self.judged(paths("V@B.Example"), paths("V@b.example")), PASSED)
        self.assertEqual(self.judged(paths("v@b.example"), paths("V@b.example")), FAILED)


    def test_a_reply_may_say_more(self):
        expected = {"result": "refused", "failure": "not-local", "replies": ["250", "550 5.7.1 relaying denied"]}
        said = ["250 gw", "550 5.7.1 relaying denied"]
        self.assertEqual(self.judged({**expected, "replies": said}, expected), PASSED)
        for wrong in (said[:1], [*said, "250"], ["250", "550 5.7.1"], ["550", said[1]], [], "250", None):
            self.assertEqual(self.judged({**expected, "replies": wrong}, expected), FAILED, wrong)


class Hops(unittest.TestCase):
    """Each hop changes what it says, and only some leave the envelope whole."""

    def test_every_change_changes(self):
        for relay in relays.RELAYS:
            changed = relay.change(CARRIER)
            self.assertEqual(changed == CARRIER, relay.change is relays.unchanged, relay.name)
            self.assertTrue(relay.about, relay.name)

    def test_a_hop_either_changes_or_expects_a_refusal(self):
        for relay in relays.RELAYS:
            if relay.change is relays.unchanged and relay.name != "held to the last second":
                self.assertIsNotNone(relay.expected, relay.name)

    def test_re_encoding_keeps_the_envelope(self):
        start, end = relays.sealed_text(CARRIER)
        envelope = base64.b64decode(CARRIER[start:end])
        for change in (relays.footer, relays.footer_outside, relays.rewrap, relays.nest, relays.fields):
            changed = change(CARRIER)
            start = changed.index(b"\r\n\r\n", changed.index(b"application/mta-seal")) + 4
            self.assertEqual(base64.b64decode(changed[start : changed.index(b"\r\n--", start)]), envelope)

    def test_what_is_no_carrier_is_said_to_be_none(self):
        for relay in relays.RELAYS:
            try:
                relay.apply(b"Subject: x\r\n\r\nno carrier\r\n")
            except relays.NotChanged as error:
                self.assertIn("no carrier", str(error))

    def test_what_is_cut_is_shorter(self):
        for change in (relays.truncate, relays.cut, relays.drop):
            self.assertLess(len(change(CARRIER)), len(CARRIER))


class Wire(unittest.TestCase):
    """The servers and clients of the live cells."""

    def test_a_message_arrives_and_is_recorded_both_ways(self):
        server = wire.Server("test")
        self.addCleanup(server.close)
        record = wire.Record("client")
        message = b"Subject: x\r\n\r\n.\r\n..\r\nno end"
        reply = rig.send(server.port, "<u@a.example> BODY=8BITMIME", ["<v@b.example>"], message, record)
        self.assertTrue(reply.startswith("250"))
        self.assertEqual(server.mails[0].octets, message + b"\r\n")
        for octets in (record.octets(), server.record.octets()):
            self.assertIn(b"MAIL FROM:<u@a.example> BODY=8BITMIME", octets)
            self.assertIn(b"354 go on", octets)

    def test_half_a_message_is_none(self):
        server = wire.Server("test")
        self.addCleanup(server.close)
        wire.abandon(server.port, "<u@a.example>", ["<v@b.example>"], b"Subject: x\r\n\r\nhalf")
        self.assertEqual(server.mails, [])

    def test_dns_fails_and_forgets_on_demand(self):
        dns = Dns()
        self.addCleanup(dns.close)
        query = b"\0\1\1\0\0\1\0\0\0\0\0\0\x09_mta-seal\1a\7example\0\0\x10\0\1"
        self.assertEqual(_name(query), "_mta-seal.a.example")
        dns.answer(query, 512)
        self.assertIn("plain", canary.Record(dns.record.octets()).seen(on_the_wire("_mta-seal.a.example")))
        self.assertEqual(canary.Record(dns.record.octets()).seen(on_the_wire("_mta-seal.b.example")), [])
        self.assertEqual(dns.answer(query, 512)[3] & 15, 3)
        dns.publish([("_mta-seal.a.example", b"v=MTASEAL1; more")])
        self.assertIn(b"MTASEAL1", dns.answer(query, 512))
        dns.failing.add("a.example")
        self.assertEqual(dns.answer(query, 512)[3] & 15, 2)
        dns.failing.clear()
        dns.withdraw("a.example")
        self.assertEqual(dns.answer(query, 512)[3] & 15, 3)

    def test_replies_come_from_the_draft(self):
        replies = live.replies_of_the_draft()
        self.assertEqual(replies["unauthentic"], "550 5.7.7")
        self.assertGreater(len(replies), 40)


class Cases(unittest.TestCase):
    """The cases themselves."""

    def test_names_are_unique(self):
        names = [case.name for case in all_cases()]
        self.assertEqual(len(names), len(set(names)))

    def test_a_short_run_has_a_part_of_each_kind(self):
        short = {case.name for case in all_cases(True)}
        self.assertLess(short, {case.name for case in all_cases()})
        self.assertTrue(any(case.refusal for case in all_cases(True)))

    def test_the_padding_edge_is_one(self):
        """A content of u@a.example to v@b.example: 3 + prefix + 64, blocks, 64 [R-con-05]."""
        case = next(case for case in all_cases() if case.name == "plain")
        prefix = 1 + 10 + 32 + 8 + 2 + 16 + (2 + 11 + 4) + 3 + (2 + 11 + 3) + 2
        self.assertEqual(without_padding(case, 4096), 4096 - 3 - prefix - 128 - 4)


class Bars(unittest.TestCase):
    """Progress is for terminals."""

    def test_nothing_is_written_elsewhere(self):
        stream = io.StringIO()
        progress = Progress(stream)
        progress.expect(2)
        progress.begin("x")
        progress.within(1, 2)
        progress.end()
        progress.clear()
        self.assertEqual(stream.getvalue(), "")

    def test_a_terminal_sees_how_far_it_is(self):
        class Terminal(io.StringIO):
            def isatty(self):
                return True

        stream = Terminal()
        progress = Progress(stream)
        progress.expect(2)
        progress.begin("first")
        progress.end()
        self.assertIn("50%", stream.getvalue())


if __name__ == "__main__":
    unittest.main()
