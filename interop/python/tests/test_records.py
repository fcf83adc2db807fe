"""Grammar and signature of policy and key records ([R-rec-01] to [R-rec-08], [R-key-01])."""

import os
import unittest

from mta_seal_py import base64s, ed25519, key_record, keyids, policy, publishing, rollover, tags, zone
from mta_seal_py.failures import PolicyRefused, RecordRefused, RecordSignatureRefused
from mta_seal_py.ownkeys import OwnKeys

from .forge import NOW, records_of

DOMAIN = "q.example"
OWN = OwnKeys.generate(DOMAIN, (1,))
B64 = base64s.encode
SIGNING = B64(ed25519.public_key(OWN.signing[0]))
INLINE = "1:" + B64(OWN.sealing[0].public)
SMALL_X25519 = [0, 1, 2**255 - 20, 2**255 - 19, 2**255 - 18, 1 << 255]


def fields(**changes):
    """Tags of a good policy in order, with changes; None leaves one out."""
    value = {
        "v": "MTASEAL1",
        "m": "testing",
        "n": NOW - 10,
        "x": NOW + 86400,
        "a": 86400,
        "i": B64(ed25519.public_key(OWN.identity)),
        "g": SIGNING,
        "k": INLINE,
        **changes,
    }
    return "; ".join(f"{name}={text}" for name, text in value.items() if text is not None)


def signed(text, domain=DOMAIN, end="; "):
    """A text with its signature."""
    octets = (text + end).encode("latin-1")
    return octets + b"s=" + B64(ed25519.sign(OWN.identity, policy.signature_input(domain, octets))).encode()


def keys_of_g(count):
    """A value of tag `g`."""
    return ",".join(B64(ed25519.public_key(os.urandom(32))) for _ in range(count))


class PolicyGrammar(unittest.TestCase):
    ACCEPTED = {
        "plain": signed(fields()),
        "no white space": signed(fields().replace("; ", ";"), end=";"),
        "tabs and spaces": signed(fields().replace("; ", " \t; \t").replace("m=", "m \t= \t"), end=" ;\t"),
        "semicolon at the end": signed(fields()) + b";",
        "semicolon and spaces at the end": signed(fields()) + b" ; \t",
        "spaces at the end": signed(fields()) + b" \t",
        "spaces after the version": signed(fields().replace("MTASEAL1;", "MTASEAL1 \t;")),
        "unknown tag": signed(fields(zz="foo=bar,:/!~")),
        "unknown tag, empty": signed(fields(zz="")),
        "unknown tag of eight": signed(fields(abcdefg8="1")),
        "case of names counts": signed(fields(M="x", N="y", S="z")),
        "o": signed(fields(o="always")),
        "h is ignored": signed(fields(h="!")),
        "x of 12 digits": signed(fields(x=10**12 - 1)),
        "a of 0": signed(fields(a=0)),
        "a at its limit": signed(fields(a=31557600)),
        "w at its limits": signed(fields(w=3600)),
        "w at its other limit": signed(fields(w=2592000)),
        "8 signing keys": signed(fields(g=keys_of_g(8))),
        "a signing key twice": signed(fields(g=f"{SIGNING},{SIGNING}")),
        "none without keys": signed(fields(m="none", g=None, k=None)),
        "unknown suite": signed(fields(k=f"65535:AAAA,{INLINE}")),
        "unknown suite, listed": signed(fields(k=f"9:a-b:AAAA,{INLINE}")),
        "unknown suites only": signed(fields(k="9:AAAA")),
        "selector of 63": signed(fields(k=f"9:{'a' * 63}:AAAA,{INLINE}")),
        "8 sealing keys": signed(fields(k="9:AAAA," * 7 + INLINE)),
        "listed": signed(fields(k=f"2:sel:{B64(bytes(32))}")),
        "statement that proves nothing": signed(fields(r=f"{B64(bytes(32))}:5:{B64(bytes(64))}")),
        "p": signed(fields(p=B64(bytes(32)))),
        "2048 octets": signed(fields(zz="a" * (2048 - len(signed(fields(zz="")))))),
    }

    REFUSED = {
        "space in a value": signed(fields(m="test ing")),
        "two semicolons": signed(fields(), end=";; "),
        "two semicolons at the end": signed(fields()) + b";;",
        "tag after the signature": signed(fields()) + b"; zz=1",
        "no signature": (fields() + ";").encode(),
        "name of nine": signed(fields(abcdefgh9="1")),
        "name that begins with a digit": signed(fields(**{"1a": "x"})),
        "no name": signed(fields(**{"": "x"})),
        "no equals sign": signed(fields() + "; zz"),
        "duplicate": signed(fields() + "; m=testing"),
        "duplicate of an unknown tag": signed(fields() + "; zz=1; zz=1"),
        "v twice": signed(fields() + "; v=MTASEAL1"),
        "text after the version": signed(fields().replace("MTASEAL1;", "MTASEAL1 x;")),
        "line feed": signed(fields(), end=";\n"),
        "not ASCII": signed(fields(zz="\u00fc")),
        "DEL": signed(fields(zz="\x7f")),
        "mode": signed(fields(m="foo")),
        "mode in capitals": signed(fields(m="Testing")),
        "n with leading zero": signed(fields(n=f"0{NOW}")),
        "n with sign": signed(fields(n=f"+{NOW}")),
        "n of 13 digits": signed(fields(n=10**12, x=10**12 + 1)),
        "n empty": signed(fields(n="")),
        "n in hexadecimal": signed(fields(n="0x1")),
        "x not above n": signed(fields(x=NOW - 10)),
        "x of 13 digits": signed(fields(x=10**12)),
        "a above its limit": signed(fields(a=31557601)),
        "w below its limit": signed(fields(w=3599)),
        "w above its limit": signed(fields(w=2592001)),
        "o of another value": signed(fields(o="never")),
        "i too short": signed(fields(i=B64(bytes(31)))),
        "i of small order": signed(fields(i=B64(b"\1" + bytes(31)))),
        "i without padding": signed(fields(i=B64(ed25519.public_key(OWN.identity)).rstrip("="))),
        "g empty": signed(fields(g="")),
        "g with a comma at the end": signed(fields(g=SIGNING + ",")),
        "g of small order": signed(fields(g=f"{SIGNING},{B64(bytes([1]) + bytes(31))}")),
        "g not on the curve": signed(fields(g=f"{SIGNING},{B64(bytes([2]) + bytes(31))}")),
        "g not canonical": signed(fields(g=f"{SIGNING},{B64(bytes([255] * 31) + bytes([127]))}")),
        "9 signing keys": signed(fields(g=keys_of_g(9))),
        "k empty": signed(fields(k="")),
        "9 sealing keys": signed(fields(k="9:AAAA," * 8 + INLINE)),
        "suite 0": signed(fields(k=f"0:AAAA,{INLINE}")),
        "suite 65536": signed(fields(k=f"65536:AAAA,{INLINE}")),
        "suite with leading zero": signed(fields(k=f"01:AAAA,{INLINE}")),
        "unknown suite, no key": signed(fields(k=f"9:,{INLINE}")),
        "unknown suite, base64 not canonical": signed(fields(k=f"9:AB==,{INLINE}")),
        "unknown suite, four parts": signed(fields(k=f"9:a:b:AAAA,{INLINE}")),
        "selector in capitals": signed(fields(k=f"9:Sel:AAAA,{INLINE}")),
        "selector that ends in a hyphen": signed(fields(k=f"9:se-:AAAA,{INLINE}")),
        "selector that begins with a hyphen": signed(fields(k=f"9:-se:AAAA,{INLINE}")),
        "selector of 64": signed(fields(k=f"9:{'a' * 64}:AAAA,{INLINE}")),
        "suite 1 listed": signed(fields(k=f"1:sel:{B64(bytes(32))},{INLINE}")),
        "suite 2 inline": signed(fields(k=f"2:{B64(bytes(32))},{INLINE}")),
        "short key id after a good key": signed(fields(k=f"{INLINE},2:sel:AAAA")),
        "short key": signed(fields(k="1:AAAA")),
        "r of another form": signed(fields(r="garbage")),
        "r of four parts": signed(fields(r=f"{B64(bytes(32))}:5:{B64(bytes(64))}:")),
        "r without expiry": signed(fields(r=f"{B64(bytes(32))}::{B64(bytes(64))}")),
        "r of 13 digits": signed(fields(r=f"{B64(bytes(32))}:{10**12}:{B64(bytes(64))}")),
        "p too short": signed(fields(p=B64(b"x"))),
        "2049 octets": signed(fields(zz="a" * (2049 - len(signed(fields(zz="")))))),
        **{f"{name} missing": signed(fields(**{name: None})) for name in "mnxaigk"},
        **{
            f"X25519 key {value:#x} of small order": signed(fields(k=f"{INLINE},1:{B64(value.to_bytes(32, 'little'))}"))
            for value in SMALL_X25519
        },
    }

    def test_accepted(self):
        for name, text in self.ACCEPTED.items():
            with self.subTest(name):
                self.assertEqual(policy.parse(DOMAIN, text).serial, NOW - 10)

    def test_refused(self):
        for name, text in self.REFUSED.items():
            with self.subTest(name), self.assertRaises(RecordRefused) as caught:
                policy.parse(DOMAIN, text)
            self.assertNotIsInstance(caught.exception, RecordSignatureRefused, name)

    def test_signature(self):
        good = signed(fields())
        for name, text in {
            "of another domain": signed(fields(), "r.example"),
            "one octet changed": good.replace(b"m=testing", b"m=enforce"),
            "white space changed": good.replace(b"; m", b";  m"),
        }.items():
            with self.subTest(name), self.assertRaises(RecordSignatureRefused):
                policy.parse(DOMAIN, text)

    def test_white_space_of_the_signature_tag_is_not_signed(self):
        head, _, signature = signed(fields()).rpartition(b"s=")
        self.assertTrue(policy.parse(DOMAIN, head + b"s \t= " + signature))

    def test_order_of_preference_and_unknown_suites(self):
        parsed = policy.parse(DOMAIN, signed(fields(k=f"9:AAAA,2:sel:{B64(bytes(32))},{INLINE}")))
        self.assertEqual([entry.suite for entry in parsed.sealing_keys], [2, 1])
        with self.assertRaises(PolicyRefused):
            records_of([(policy.query_name(DOMAIN), signed(fields(k="9:AAAA")))]).sealing_key(
                DOMAIN, policy.parse(DOMAIN, signed(fields(k="9:AAAA")))
            )

    def test_time(self):
        parsed = policy.parse(DOMAIN, signed(fields(n=NOW, x=NOW + 100)))
        self.assertFalse(parsed.in_time(NOW - 3601))
        self.assertTrue(parsed.in_time(NOW - 3600))
        self.assertTrue(parsed.in_time(NOW + 99))
        self.assertFalse(parsed.in_time(NOW + 100))


class Selection(unittest.TestCase):
    def test_records_of_other_kinds_are_ignored(self):
        name = policy.query_name(DOMAIN)
        others = [b"v=spf1 -all", b"v=MTASEAL12; m=x", b"v=mtaseal1;", b" v=MTASEAL1", b"v =MTASEAL1", b""]
        self.assertIsNone(records_of([(name, text) for text in others]).policy(DOMAIN))
        self.assertTrue(records_of([(name, text) for text in [*others, signed(fields())]]).policy(DOMAIN))

    def test_two_are_an_error(self):
        name = policy.query_name(DOMAIN)
        for second in (signed(fields()), b"v=MTASEAL1", b"v=MTASEAL1 ", b"v=MTASEAL1\t", b"v=MTASEAL1;x"):
            with self.subTest(second), self.assertRaises(RecordRefused):
                records_of([(name, signed(fields())), (name, second)]).policy(DOMAIN)


class KeyRecord(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.own = OwnKeys.generate(DOMAIN, (2, 1))
        cls.key = cls.own.sealing[0]
        cls.text = key_record.write(2, cls.key.public)
        cls.entry = policy.SealingEntry(2, cls.key.key_id, selector=cls.key.selector)

    def test_accepted(self):
        p = B64(self.key.public).encode()
        for text in (
            self.text,
            self.text + b" ; ",
            self.text + b"; zz=1",
            self.text + b"; s=not-a-signature",
            b"v=MTASEALKEY1; p=" + p + b" ;k = 2",
            self.text + b"; zz=" + b"a" * (4096 - len(self.text) - 5),
        ):
            with self.subTest(text[-40:]):
                self.assertEqual(key_record.parse(text, self.entry), self.key.public)

    def test_refused(self):
        small_order = self.key.public[:1184] + bytes(32)
        modulus = b"\xff\xff\xff" + self.key.public[3:]
        coefficient_3329 = b"\x01\x0d\x00" + self.key.public[3:]
        for text, entry in [
            (self.text + b"; k=2", self.entry),
            (self.text.replace(b"k=2", b"k=1"), self.entry),
            (self.text.replace(b"k=2", b"k=02"), self.entry),
            (self.text.replace(b"k=2; ", b""), self.entry),
            (b"v=MTASEALKEY1", self.entry),
            (self.text.replace(b"KEY1", b"KEY2"), self.entry),
            (self.text + b"; zz=" + b"a" * (4097 - len(self.text) - 5), self.entry),
            (self.text, policy.SealingEntry(2, bytes(32), selector="x")),
            *[
                (key_record.write(2, bad), policy.SealingEntry(2, keyids.sealing_key_id(2, bad), selector="x"))
                for bad in (small_order, modulus, coefficient_3329, self.key.public[:-1])
            ],
        ]:
            with self.subTest(text[:30]), self.assertRaises(RecordRefused):
                key_record.parse(text, entry)

    def test_look_up(self):
        made = publishing.records(self.own, "testing", NOW, NOW + 10)
        records = records_of(made)
        parsed = records.policy(DOMAIN)
        entry, public = records.sealing_key(DOMAIN, parsed)
        self.assertEqual((entry.suite, public), (2, self.key.public))
        for broken in (made[:1], [*made, made[1]]):
            with self.assertRaises(PolicyRefused):
                records_of(broken).sealing_key(DOMAIN, parsed)


class Rollover(unittest.TestCase):
    def test_statement(self):
        old = OwnKeys.generate(DOMAIN, (1,))
        text = publishing.records(OWN, "enforce", NOW, NOW + 100, old_identity=old.identity)[0][1]
        parsed = policy.parse(DOMAIN, text)
        old_key = ed25519.public_key(old.identity)
        self.assertTrue(rollover.proves(parsed, old_key, NOW))
        self.assertFalse(rollover.proves(parsed, old_key, NOW + 100))
        self.assertFalse(rollover.proves(parsed, parsed.identity, NOW))

    def test_bound_to_serial_and_new_key(self):
        old = os.urandom(32)
        new_key = ed25519.public_key(OWN.identity)
        for serial, key, good in ((NOW - 10, new_key, True), (NOW - 9, new_key, False), (NOW - 10, bytes(32), False)):
            text = signed(fields(r=rollover.sign(DOMAIN, old, key, serial, NOW + 100)))
            parsed = policy.parse(DOMAIN, text)
            self.assertEqual(rollover.proves(parsed, ed25519.public_key(old), NOW), good)


class Files(unittest.TestCase):
    def test_zone_round_trip(self):
        text = bytes(range(256)) * 3
        self.assertEqual(zone.read(zone.write("A.example", text), ""), [("a.example", text)])

    def test_forms(self):
        self.assertEqual(zone.read("v=MTASEAL1; x\n", "n"), [("n", b"v=MTASEAL1; x")])
        self.assertEqual(zone.read('a. 60 IN TXT "x" "y"\nb. TXT ( "c"\n "d" )\n', ""), [("a", b"xy"), ("b", b"cd")])
        self.assertEqual(zone.read('[{"name": "a", "value": "x"}]', ""), [("a", b"x")])

    def test_number(self):
        for bad in ("", "00", "01", "-1", "+1", "1 ", "\u0661", "1_0"):
            with self.subTest(bad), self.assertRaises(RecordRefused):
                tags.number("n", bad, 0, 100)
        self.assertEqual(tags.number("n", "0", 0, 100), 0)
