"""The command: files in, files out, exit codes."""

import contextlib
import io
import json
import os
import tempfile
import unittest
from pathlib import Path

from mta_seal_py.command import main


class Command(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        for domain in ("a.example", "b.example"):
            self.run_peer("keygen", "--domain", domain, "--output", self.path(f"{domain}.json"))
            self.run_peer("sign-policy", "--keys", self.path(f"{domain}.json"), "--output", self.path(f"{domain}.zone"))
        self.message = b"Subject: x\r\n\r\nhello\r\n"
        Path(self.path("m")).write_bytes(self.message)

    def path(self, name):
        """A file of this test."""
        return os.path.join(self.folder.name, name)

    def run_peer(self, *arguments, code=0):
        """Runs the command; its output, and the last line of standard error as JSON."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            self.assertEqual(main(arguments), code, err.getvalue())
        return out.getvalue(), json.loads(err.getvalue() or "{}")

    def seal(self, *more, code=0):
        """Seals the message."""
        return self.run_peer(
            "seal",
            *("--keys", self.path("a.example.json")),
            *("--records", self.path("b.example.zone")),
            *("--output", self.path("c")),
            *more,
            self.path("m"),
            code=code,
        )

    def unseal(self, *more, code=0):
        """Unseals the carrier."""
        return self.run_peer(
            "unseal",
            *("--keys", self.path("b.example.json")),
            *("--records", self.path("a.example.zone")),
            *("--output", self.path("o")),
            *more,
            self.path("c"),
            code=code,
        )

    def test_round_trip(self):
        paths = ("--mail-from", "u@a.example", "--rcpt-to", "v@b.example", "--rcpt-to", "w@b.example")
        for more, suite in (((), 2), (("--suite", "1"), 1), (("--suite", "2"), 2)):
            _, sealed = self.seal(*paths, *more)
            self.assertEqual(sealed["suite"], suite)
            _, verified = self.unseal("--rcpt-to", "v@b.example")
            self.assertEqual(Path(self.path("o")).read_bytes(), self.message)
            self.assertEqual(verified["rcpt_to"], ["v@b.example"])
            self.assertEqual(verified["envelope_id"], sealed["envelope_id"])
            shown = json.loads(self.run_peer("inspect", self.path("c"))[0])
            self.assertEqual(shown["envelope_id"], sealed["envelope_id"])

    def test_parameters(self):
        self.seal(
            *("--mail-from", "\u00fc@a.example", "--rcpt-to", "v@b.example"),
            *("--body", "8BITMIME", "--ret", "HDRS", "--envid", "abc", "--notify", "SUCCESS,DELAY"),
            *("--orcpt", "rfc822;v@b.example"),
        )
        _, verified = self.unseal()
        for name, value in {
            "mail_from": "\u00fc@a.example",
            "smtputf8": 1,
            "body": 2,
            "ret": 2,
            "envid": "abc",
            "notify": [10],
            "orcpt": ["rfc822;v@b.example"],
            "foreign_mail_from": False,
        }.items():
            self.assertEqual(verified[name], value, name)

    def test_foreign_and_null(self):
        for sender, foreign in (("u@z.example", True), ("<>", False), ("u@x.a.example", True)):
            self.seal("--mail-from", sender, "--rcpt-to", "v@b.example")
            self.assertEqual(self.unseal()[1]["foreign_mail_from"], foreign)

    def test_refusals(self):
        _, refused = self.seal(
            "--mail-from", "u@a.example", "--rcpt-to", "v@b.example", "--rcpt-to", "v@c.example", code=1
        )
        self.assertEqual(refused["stage"], "path")
        self.seal("--mail-from", "u@a.example", "--rcpt-to", "v@b.example")
        self.assertEqual(self.unseal("--rcpt-to", "z@b.example", code=1)[1]["stage"], "recipients")
        self.assertEqual(self.run_peer("inspect", self.path("m"), code=1)[1]["stage"], "recognition")
        self.assertFalse(os.path.exists(self.path("o")))

    def test_claims(self):
        self.seal("--mail-from", "u@a.example", "--rcpt-to", "v@b.example")
        self.unseal("--claims", self.path("claims"))
        self.assertEqual(self.unseal("--claims", self.path("claims"), code=1)[1]["stage"], "delivered")

    def test_parse_record(self):
        out, _ = self.run_peer("parse-record", "--domain", "b.example", "--with-keys", self.path("b.example.zone"))
        self.assertEqual([key["suite"] for key in json.loads(out)["sealing_keys"]], [2, 1])
        text = Path(self.path("b.example.zone")).read_text(encoding="ascii").replace("m=testing", "m=enforce")
        Path(self.path("bad")).write_text(text, encoding="ascii")
        refused = self.run_peer("parse-record", "--domain", "b.example", self.path("bad"), code=1)[1]
        self.assertEqual(refused["stage"], "record-signature")

    def test_unsupported(self):
        self.run_peer("keygen", "--domain", "a.example", "--suite", "7", "--output", self.path("k"), code=127)
        self.seal("--mail-from", "u@a.example", "--rcpt-to", "v@b.example", "--suite", "7", code=127)

    def test_keys_are_not_overwritten(self):
        with self.assertRaises(FileExistsError):
            main(["keygen", "--domain", "a.example", "--output", self.path("a.example.json")])
        self.assertEqual(os.stat(self.path("a.example.json")).st_mode & 0o077, 0)
