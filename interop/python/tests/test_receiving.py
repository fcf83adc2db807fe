"""The dialog of an unsealing gateway ([R-smtp-01], [R-uns-09])."""

import unittest
from types import SimpleNamespace

from generator.subjects.dialogs import replies
from mta_seal_py.failures import DeliveredRefused, NotSealed, RecipientsRefused, Unsupported
from mta_seal_py.paths import ForwardPath, ReversePath
from mta_seal_py.receiving import Session
from mta_seal_py.replies import REPLIES

BEGIN = ("EHLO c.example", "MAIL FROM:<u@a.example>")


def verified(*recipients):
    """A message to these."""
    prefix = SimpleNamespace(reverse_path=ReversePath("u@a.example"))
    paths = tuple(ForwardPath(one) for one in recipients)
    return SimpleNamespace(message=b"x", prefix=prefix, recipients=paths)


def refusing(error):
    """What unseals nothing."""

    def unseal(_octets, _recipients):
        raise error

    return unseal


class Dialog(unittest.TestCase):
    def setUp(self):
        self.asked = []

        def unseal(_octets, recipients):
            self.asked.append(recipients)
            return verified(*recipients)

        self.session = Session({"b.example"}, unseal)

    def say(self, *lines):
        """The codes of the replies."""
        return [self.session.command(line).split()[0] for line in lines]

    def test_a_message(self):
        with_parameters = "rcpt to:<v@B.example> NOTIFY=DELAY,FAILURE ORCPT=rfc822;v"
        lines = (*BEGIN, with_parameters, 'RCPT TO:<"a>b"@b.example>', "DATA")
        self.assertEqual(self.say(*lines), ["250", "250", "250", "250", "354"])
        self.assertTrue(self.session.message(b"").startswith("250 2.0.0"))
        self.assertEqual(self.asked, [("v@B.example", '"a>b"@b.example')])
        self.assertEqual(self.say("DATA"), ["503"])

    def test_order(self):
        lines = ("DATA", "RCPT TO:<v@b.example>", *BEGIN, BEGIN[1], "DATA")
        self.assertEqual(self.say(*lines), ["503", "503", "250", "250", "503", "503"])

    def test_syntax(self):
        self.assertEqual(self.say("NONSENSE", "MAIL FROM:<u@a.example> X=1"), ["500", "555"])
        for line in ("MAIL FROM: <u@a.example>", "MAIL FROM:u@a.example", "MAIL FROM:<u>"):
            self.assertEqual(self.say(line), ["501"], line)
        for parameter in ("BODY=BINARYMIME", "SMTPUTF8=1", "RET=x", "ENVID=a=b", "SIZE=x", "SIZE=1 SIZE=1"):
            self.assertEqual(self.say(f"MAIL FROM:<u@a.example> {parameter}"), ["501"], parameter)
        self.assertEqual(self.say("MAIL FROM:<u@a.example> BODY=8BITMIME RET=FULL ENVID=x SIZE=1"), ["250"])
        for parameter in ("NOTIFY=", "NOTIFY=NEVER,DELAY", "NOTIFY=DELAY,DELAY", "ORCPT=x"):
            self.assertEqual(self.say(f"RCPT TO:<v@b.example> {parameter}"), ["501"], parameter)

    def test_smtputf8(self):
        to = "RCPT TO:<\u00fc@b.example>"
        self.assertEqual(self.say("MAIL FROM:<\u00fc@a.example>", BEGIN[1], to), ["553", "250", "553"])
        self.assertEqual(self.say(BEGIN[0], "MAIL FROM:<> SMTPUTF8", to), ["250", "250", "250"])

    def test_whose_recipients(self):
        self.say(*BEGIN)
        for path in ("v@x.b.example", "v@z.example", "v@[192.0.2.1]"):
            self.assertEqual(self.session.command(f"RCPT TO:<{path}>"), replies()["not-local"])
        self.assertEqual(self.session.refusal.stage, "domain")
        self.assertEqual(self.say("RCPT TO:<Postmaster>"), ["250"])

    def test_mta_seal_is_the_postmaster(self):
        self.say(*BEGIN, "RCPT TO:<MTA-Seal@b.example>")
        self.session.message(b"")
        self.assertEqual(self.session.delivery.rcpt_to, ("postmaster@b.example",))

    def test_refusals(self):
        for error, reply in (
            (RecipientsRefused(""), replies()["not-signed-recipient"]),
            (DeliveredRefused(""), "250 2.0.0 delivered before"),
        ):
            self.session.unseal = refusing(error)
            self.say(*BEGIN, "RCPT TO:<v@b.example>")
            self.assertEqual(self.session.message(b""), reply)
            self.assertIs(self.session.refusal, error)
        self.assertIsNone(self.session.delivery)

    def test_ordinary_mail_is_not_for_this(self):
        self.session.unseal = refusing(NotSealed(""))
        self.say(*BEGIN, "RCPT TO:<v@b.example>")
        self.assertRaises(Unsupported, self.session.message, b"")

    def test_the_table_is_that_of_the_draft(self):
        rows = {**replies(), "delivered-before": REPLIES["delivered-before"]}
        self.assertEqual(REPLIES, {failure: rows[failure] for failure in REPLIES})
