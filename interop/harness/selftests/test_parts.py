"""Parts of the harness that a run with toy peers does not reach."""

import base64
import io
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from harness import canary, judge, live, parties, relays, wire  # noqa: E402
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


class Outer(unittest.TestCase):
    """What of the SMTP envelope a hop is shown [R-seal-04]."""

    def test_neither_envid_nor_orcpt(self):
        rcpt = (" NOTIFY=NEVER ORCPT=rfc822;a@b", " ORCPT=rfc822;a@b")
        shape = live.Shape("x", mail=" RET=HDRS ENVID=a BODY=8BITMIME SMTPUTF8", rcpt=rcpt)
        path, to = shape.outer("b.example")
        self.assertEqual((path, to), ("<u@left.example> RET=HDRS", ["<v0@b.example> NOTIFY=NEVER", "<v1@b.example>"]))
        path, _ = live.Shape("x", mail=" SMTPUTF8 BODY=8BITMIME", sender_path="<\u00fc@left.example>").outer("b.example")
        self.assertEqual(path, "<\u00fc@left.example> SMTPUTF8")

    def test_one_that_is_shown_is_found(self):
        def mail(sender, recipient):
            return wire.Mail(f"MAIL FROM:<u@left.example>{sender}".encode(), [f"RCPT TO:<v@b.example>{recipient}".encode()], b"")

        def shown(sender, recipient):
            live.Live._shown(mail(sender, recipient), "<u@left.example> RET=HDRS", ["<v@b.example> NOTIFY=NEVER"])

        shown(" SIZE=100 RET=HDRS", " NOTIFY=NEVER")
        for sender, recipient in (
            (" RET=HDRS ENVID=a", " NOTIFY=NEVER"),
            (" RET=HDRS", " NOTIFY=NEVER ORCPT=rfc822;a@b"),
            ("", " NOTIFY=NEVER"),
            (" RET=HDRS", ""),
        ):
            with self.assertRaises(live.Failed):
                shown(sender, recipient)

    def test_xtext_is_compared_by_what_it_stands_for(self):
        self.assertEqual(live._parameters([b"MAIL FROM:<> ENVID=a+2Db"]), live._parameters([b"MAIL FROM:<> ENVID=a-b"]))


class Versions(unittest.TestCase):
    """What stands for another version differs from this one in what it says, and in nothing that would be refused anyway."""

    @staticmethod
    def texts(domain):
        """The records of a domain by name, the text of each once."""
        found = {}
        for name, text in parties.texts_of(domain):
            found.setdefault(name.partition(f".{domain}")[0], []).append(text)
        return found

    def test_records_say_their_version(self):
        for domain, policies, keys in (
            (parties.OLDER, [b"v=MTASEAL0"], [b"v=MTASEALKEY0"]),
            (parties.NEWER, [b"v=MTASEAL2", b"v=MTASEAL1"], [b"v=MTASEALKEY2", b"v=MTASEALKEY1"]),
            (parties.NEXT, [b"v=MTASEAL2"], [b"v=MTASEALKEY2"]),
            (parties.SUITES, [b"v=MTASEAL1"], None),
        ):
            texts = self.texts(domain)
            found = [text.partition(b";")[0] for text in texts.pop("_mta-seal")]
            self.assertEqual(found, policies, domain)
            found = [[text.partition(b";")[0] for text in there] for there in texts.values()]
            self.assertEqual(found, [keys] if keys else [], domain)

    def test_the_newer_one_has_what_this_version_does_not_know(self):
        for domain, suites in ((parties.NEWER, [b"65281", b"65280", b"2", b"1"]), (parties.SUITES, [b"65281", b"65280"])):
            tags = dict(one.strip().split(b"=", 1) for one in self.texts(domain)["_mta-seal"][-1].split(b";"))
            self.assertEqual([entry.partition(b":")[0] for entry in tags[b"k"].split(b",")], suites)
            self.assertLess({b"z", b"later1"}, set(tags))

    def test_each_is_a_case_both_ways(self):
        cases = all_cases(True)
        for domain in (parties.OLDER, parties.NEWER, parties.NEXT):
            self.assertTrue(any(case.domain == domain for case in cases), domain)
            self.assertTrue(any(case.sender == domain for case in cases), domain)


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
