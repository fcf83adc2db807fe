"""How carriers are written and recognised ([R-car-01] to [R-car-07])."""

import base64
import re
import unittest

from mta_seal_py import carrier, recognition
from mta_seal_py.failures import CarrierRefused, DomainRefused, NotSealed

from .carriers import NAMED, NL, PLAIN, TYPE, Carriers, in_lines, mixed, nested, part, quoted_printable
from .forge import Forge

FORGE = Forge(numbers=(1,))
CARRIERS = Carriers(FORGE)
ENVELOPE, GOOD = CARRIERS.envelope, CARRIERS.good


class Written(unittest.TestCase):
    def test_form(self):
        text = FORGE.carrier(octets=ENVELOPE)
        self.assertTrue(text.isascii() and text.endswith(NL) and not re.search(rb"(?<!\r)\n|\r(?!\n)", text))
        token = re.search(rb"MTA-Seal-Token: ([0-9a-f]{32})\r\n", text)[1]
        head, _, body = text.partition(NL + NL)
        self.assertEqual(
            [line.partition(b":")[0] for line in head.replace(NL + b" ", b" ").split(NL)],
            [
                b"Date",
                b"From",
                b"To",
                b"Subject",
                b"Message-ID",
                b"MTA-Seal-Token",
                b"MIME-Version",
                b"Content-Type",
            ],
        )
        for wanted in (
            b"From: mta-seal@a.example",
            b"To: mta-seal@b.example",
            b"Subject: Sealed message",
            b"Message-ID: <" + token + b"@a.example>",
            b'Content-Type: multipart/mixed;\r\n boundary="mta-seal-' + token + b'"',
        ):
            self.assertIn(wanted, head)
        self.assertLessEqual(max(map(len, text.split(NL))), 78)
        self.assertEqual(body.count(b"--mta-seal-" + token), 3)

    def test_token_is_new(self):
        self.assertNotEqual(*(re.search(rb"Token: (\w+)", FORGE.carrier(octets=ENVELOPE))[1] for _ in range(2)))

    def test_long_domains_fold(self):
        domain = ".".join(["d" * 60] * 4)
        text = carrier.write(ENVELOPE, domain, domain, FORGE.now)
        for line in text.split(NL):
            self.assertTrue(len(line) <= 78 or domain.encode() in line and line.startswith(b" "))
        self.assertTrue(recognition.find(text))


class Tolerated(unittest.TestCase):
    def test_cases(self):
        for name, message in CARRIERS.tolerated().items():
            with self.subTest(name):
                self.assertEqual(FORGE.unseal_message(message).message, b"Subject: x\r\n\r\nhello\r\n")


class NotRecognised(unittest.TestCase):
    def test_cases(self):
        for name, message in CARRIERS.not_recognised().items():
            with self.subTest(name), self.assertRaises(NotSealed):
                recognition.find(message, {"b.example"})


class Refused(unittest.TestCase):
    def refused(self, message, failure=CarrierRefused, answer="carrier-malformed"):
        """Asserts how a message is refused."""
        with self.assertRaises(failure) as caught:
            recognition.find(message, {"b.example"})
        self.assertNotIsInstance(caught.exception, NotSealed)
        self.assertEqual(caught.exception.answer, answer)

    def test_two_parts(self):
        for second in (part(GOOD), part(GOOD, NAMED), part(GOOD, encoding=b"7bit")):
            for filler in (PLAIN, b"Content-Type: text/plain" + NL + NL + b"x" * 70000 + NL):
                self.refused(mixed(part(GOOD), filler, second), answer="two-parts")
        self.refused(mixed(nested(1, part(GOOD)), nested(2, part(GOOD))), answer="two-parts")

    def test_the_first_fault_decides(self):
        good, bad = part(GOOD), part(b"AAAA")
        far = b"Content-Type: text/plain" + NL + NL + b"x" * 70000 + NL
        for parts in ((good, bad), (good, far, bad), (bad, good), (bad, bad), (good, bad, good)):
            self.refused(mixed(*parts))
        self.refused(mixed(part(GOOD + b"!"), good))
        self.refused(mixed(good, good, bad), answer="two-parts")
        for parts in ((far, bad), (far, good, good)):
            with self.assertRaises(NotSealed):
                recognition.find(mixed(*parts))

    def test_limits(self):
        for name, (message, answer) in CARRIERS.beyond_limits().items():
            with self.subTest(name):
                self.refused(message, answer=answer)

    def test_wrong_magic(self):
        for text in (b"", b"AAAA", b"!", GOOD[1:], b" " * 1014 + GOOD):
            self.refused(mixed(part(text)))
        self.refused(mixed(part(base64.b64encode(GOOD))))

    def test_foreign(self):
        foreign = FORGE.envelope(header=FORGE.header(recipient_domain="c.example"))
        for media_type in (TYPE, NAMED):
            self.refused(mixed(part(base64.b64encode(foreign), media_type)), DomainRefused, "carrier-foreign")

    def test_unknown_encoding(self):
        for encoding in (b"x-uuencode", b"", b"base64\r\nContent-Transfer-Encoding: 7bit"):
            self.refused(mixed(part(GOOD, encoding=encoding)))

    def test_strict_quoted_printable(self):
        for bad in (b"=ZZ", b"=Z"):
            self.refused(mixed(part(quoted_printable(ENVELOPE) + bad, encoding=b"quoted-printable")))

    def test_strict_base64(self):
        alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        seen = set()
        for extra in range(3):
            message = b"Subject: x\r\n\r\nhello\r\n"
            text = base64.b64encode(FORGE.envelope(message, header_octets=FORGE.header_of_length(extra)))
            padding = text.count(b"=")
            seen.add(padding)
            bare = text.rstrip(b"=")
            bad = {
                "padding more": text + b"=",
                "padding twice": text + b"====",
                "text after": text + (b"\r\nAAAA" if padding else b"\r\nAAAAA"),
                "a footer after": text + b"\r\n-- \r\nfooter!",
                "a character less": bare[:-1] + b"=" * padding,
                "a character inside": text[:300] + b"!" + text[300:],
                "padding inside": text[:300] + b"=" + text[300:],
                "NUL": text[:300] + b"\0" + text[300:],
                "form feed": text[:300] + b"\f" + text[300:],
                "no-break space": text[:300] + b"\xa0" + text[300:],
                "base64url": text[:300] + b"-_" + text[302:],
            }
            if padding:
                bad["padding missing"] = bare
                bad["padding less"] = text[:-1]
                bad["trailing bits"] = bare[:-1] + alphabet[alphabet.index(bare[-1]) + 1 :][:1] + text[len(bare) :]
            for name, one in bad.items():
                with self.subTest(f"{name}, padding {padding}"):
                    self.refused(mixed(part(in_lines(76, one))))
            self.assertTrue(FORGE.unseal_message(mixed(part(in_lines(76, text)))))
        self.assertEqual(seen, {0, 1, 2})
