"""Policy and key records, rollover statements, and what sets of records let one seal to ([R-rec-01] to [R-rec-08])."""

from mta_seal_py import base64s, ed25519, key_record, keyids, policy, rollover
from mta_seal_py.tasks import b64

from ..parties import EXPIRY, NOW, SERIAL, A, B, identity_public, in_json, party, published
from ..randomness import octets
from ..vector import vector

DOMAIN = A.domain
TEXT = base64s.encode
SIGNING = TEXT(ed25519.public_key(A.signing[0]))
INLINE = "1:" + TEXT(A.sealing[1].public)
LISTED = f"2:{A.sealing[0].selector}:{TEXT(A.sealing[0].key_id)}"
SMALL = TEXT((1).to_bytes(32, "little"))
OLD = octets("party/a.example", "identity-before", 32)
OLD_PUBLIC = ed25519.public_key(OLD)


def fields(**changes):
    """Tags of a good policy in order, with changes; None leaves one out."""
    value = {
        "v": "MTASEAL1",
        "m": "enforce",
        "n": SERIAL,
        "x": EXPIRY,
        "a": 86400,
        "i": TEXT(identity_public(A)),
        "g": SIGNING,
        "k": f"{LISTED},{INLINE}",
        **changes,
    }
    return "; ".join(f"{name}={text}" for name, text in value.items() if text is not None)


def signed(text, domain=DOMAIN, end="; ", seed=A.identity):
    """A text with its signature."""
    made = (text + end).encode("latin-1")
    return made + b"s=" + TEXT(ed25519.sign(seed, policy.signature_input(domain, made))).encode()


def keys_of_g(count):
    """A value of tag `g`."""
    seeds = (octets("party/a.example", f"signing-{number}", 32) for number in range(count))
    return ",".join(TEXT(ed25519.public_key(seed)) for seed in seeds)


def statement(old=OLD, new=None, serial=SERIAL, expiry=EXPIRY, domain=DOMAIN):
    """A value of tag `r`."""
    return rollover.sign(domain, old, new or identity_public(A), serial, expiry)


FULL = 2048 - len(signed(fields(zz="")))

DONE = {
    "plain": ("R-rec-01 R-rec-02 R-rec-05", "Everything plain.", signed(fields())),
    "tight": ("R-rec-01", "No white space.", signed(fields().replace("; ", ";"), end=";")),
    "loose": (
        "R-rec-01",
        "White space wherever it may be.",
        b"\ts\t = ".join(
            signed(fields().replace("; ", " \t; \t").replace("m=", "m \t= "), end=" ;\t").rsplit(b"\ts=", 1)
        )
        + b" ; ",
    ),
    "all-tags": (
        "R-rec-02 R-rec-08",
        "All tags there are, and one that is not.",
        signed(fields(w=7200, o="always", h="!", r=statement(), p=TEXT(octets("x", "next", 32)), zz="foo=bar,:/!~")),
    ),
    "testing": ("R-rec-02", "Mode testing.", signed(fields(m="testing"))),
    "none": ("R-rec-02", "Mode none needs no keys.", signed(fields(m="none", g=None, k=None))),
    "limits": (
        "R-rec-02 R-rec-04",
        "Numbers at their upper limits.",
        signed(fields(x=10**12 - 1, a=31557600, w=2592000)),
    ),
    "lower-limits": ("R-rec-02 R-rec-04", "Numbers at their lower limits.", signed(fields(n=0, x=1, a=0, w=3600))),
    "case": ("R-rec-02", "The case of a name counts.", signed(fields(M="x", S="z"))),
    "eight": ("R-rec-02", "Eight keys of each kind.", signed(fields(g=keys_of_g(8), k="9:AAAA," * 7 + INLINE))),
    "unknown-suite": (
        "R-suite-02 R-rec-03",
        "Entries of unknown suites are skipped.",
        signed(fields(k=f"9:a-b:AAAA,{INLINE}")),
    ),
    "unknown-suites": ("R-suite-02", "No entry is of a known suite.", signed(fields(k="65535:AAAA"))),
    "selector-63": ("R-rec-02", "The longest selector.", signed(fields(k=f"9:{'a' * 63}:AAAA,{INLINE}"))),
    "void-rollover": (
        "R-rec-08",
        "A statement that proves nothing.",
        signed(fields(r=f"{TEXT(OLD_PUBLIC)}:5:{TEXT(bytes(64))}")),
    ),
    "2048": ("R-rec-02", "2,048 octets.", signed(fields(zz="a" * FULL))),
}

MALFORMED = {
    "space-in-a-value": ("R-rec-01", "A value has a space.", signed(fields(m="enfo rce")), "plain"),
    "two-semicolons": ("R-rec-01", "Two semicolons.", signed(fields(), end=";; "), "plain"),
    "tag-after-signature": ("R-rec-02", "s is not the last tag.", signed(fields()) + b"; zz=1", "all-tags"),
    "no-signature": ("R-rec-02", "No signature.", (fields() + ";").encode(), "plain"),
    "name-of-nine": ("R-rec-01", "A name of nine letters.", signed(fields(abcdefgh9="1")), "all-tags"),
    "name-with-digit": ("R-rec-01", "A name begins with a digit.", signed(fields(**{"1a": "x"})), "all-tags"),
    "no-name": ("R-rec-02", "A tag without name.", signed(fields(**{"": "x"})), "all-tags"),
    "no-equals": ("R-rec-02", "A tag without =.", signed(fields() + "; zz"), "all-tags"),
    "duplicate": ("R-rec-02", "A tag stands twice.", signed(fields() + "; m=enforce"), "plain"),
    "duplicate-unknown": ("R-rec-02", "An unknown tag stands twice.", signed(fields() + "; zz=1; zz=1"), "all-tags"),
    "text-after-version": (
        "R-rec-01",
        "Text after the version.",
        signed(fields().replace("MTASEAL1;", "MTASEAL1 x;")),
        "plain",
    ),
    "line-feed": ("R-rec-01", "A line feed is no white space.", signed(fields(), end=";\n"), "plain"),
    "not-ascii": ("R-rec-02", "An octet above 127.", signed(fields(zz="\u00fc")), "all-tags"),
    "mode": ("R-rec-02", "An unknown mode.", signed(fields(m="foo")), "testing"),
    "mode-capitals": ("R-rec-02", "The mode in capitals.", signed(fields(m="Testing")), "testing"),
    "n-leading-zero": ("R-rec-04", "n has a leading zero.", signed(fields(n=f"0{SERIAL}")), "plain"),
    "n-sign": ("R-rec-04", "n has a sign.", signed(fields(n=f"+{SERIAL}")), "plain"),
    "n-13-digits": ("R-rec-02", "n has 13 digits.", signed(fields(n=10**12, x=10**12 + 1)), "limits"),
    "x-not-above-n": ("R-rec-02", "x is n.", signed(fields(x=SERIAL)), "lower-limits"),
    "x-13-digits": ("R-rec-02", "x has 13 digits.", signed(fields(x=10**12)), "limits"),
    "a-above": ("R-rec-02", "a is above its limit.", signed(fields(a=31557601)), "limits"),
    "w-above": ("R-rec-02", "w is above its limit.", signed(fields(w=2592001)), "limits"),
    "w-below": ("R-rec-02", "w is below its limit.", signed(fields(w=3599)), "lower-limits"),
    "o": ("R-rec-02", "o has another value.", signed(fields(o="never")), "all-tags"),
    "i-short": ("R-rec-02", "i has 31 octets.", signed(fields(i=TEXT(bytes(31)))), "plain"),
    "i-small": ("R-rec-03 R-sig-01", "i is of small order.", signed(fields(i=SMALL)), "plain"),
    "i-unpadded": (
        "R-rec-04",
        "The base64 of i has no padding.",
        signed(fields(i=TEXT(identity_public(A)).rstrip("="))),
        "plain",
    ),
    "g-empty": ("R-rec-02", "g is empty.", signed(fields(g="")), "eight"),
    "g-comma": ("R-rec-02", "g ends with a comma.", signed(fields(g=SIGNING + ",")), "eight"),
    "g-small": (
        "R-rec-03 R-sig-01",
        "A signing key is of small order.",
        signed(fields(g=f"{SIGNING},{SMALL}")),
        "eight",
    ),
    "g-nine": ("R-rec-02", "Nine signing keys.", signed(fields(g=keys_of_g(9))), "eight"),
    "k-nine": (
        "R-rec-03",
        "Nine sealing keys, eight of an unknown suite.",
        signed(fields(k="9:AAAA," * 8 + INLINE)),
        "eight",
    ),
    "k-suite-0": ("R-rec-02", "Suite 0.", signed(fields(k=f"0:AAAA,{INLINE}")), "unknown-suite"),
    "k-suite-65536": ("R-rec-02", "Suite 65536.", signed(fields(k=f"65536:AAAA,{INLINE}")), "unknown-suites"),
    "k-leading-zero": (
        "R-rec-02",
        "A suite with a leading zero.",
        signed(fields(k=f"01:AAAA,{INLINE}")),
        "unknown-suite",
    ),
    "k-four-parts": (
        "R-rec-03",
        "An entry of an unknown suite of four parts.",
        signed(fields(k=f"9:a:b:AAAA,{INLINE}")),
        "unknown-suite",
    ),
    "k-nothing": ("R-rec-03", "Base64 of nothing.", signed(fields(k=f"9:,{INLINE}")), "unknown-suite"),
    "k-listed-not-canonical": (
        "R-rec-03 R-rec-04",
        "The same with a selector, and bits that are not zero.",
        signed(fields(k=f"9:a:AB==,{INLINE}")),
        "unknown-suite",
    ),
    "k-not-canonical": (
        "R-rec-04",
        "Base64 with bits that are not zero.",
        signed(fields(k=f"9:AB==,{INLINE}")),
        "unknown-suite",
    ),
    "selector-capitals": (
        "R-rec-02",
        "A selector in capitals.",
        signed(fields(k=f"9:Sel:AAAA,{INLINE}")),
        "unknown-suite",
    ),
    "selector-hyphen": (
        "R-rec-02",
        "A selector ends in a hyphen.",
        signed(fields(k=f"9:se-:AAAA,{INLINE}")),
        "unknown-suite",
    ),
    "selector-64": ("R-rec-02", "A selector of 64.", signed(fields(k=f"9:{'a' * 64}:AAAA,{INLINE}")), "selector-63"),
    "suite-1-listed": (
        "R-rec-03",
        "Suite 1 is listed.",
        signed(fields(k=f"1:sel:{TEXT(bytes(32))},{INLINE}")),
        "plain",
    ),
    "suite-2-inline": ("R-rec-03", "Suite 2 is inline.", signed(fields(k=f"2:{TEXT(bytes(32))},{INLINE}")), "plain"),
    "short-key": ("R-rec-03", "A key of three octets.", signed(fields(k=f"1:AAAA,{INLINE}")), "plain"),
    "small-key": (
        "R-rec-03 R-suite-04",
        "A sealing key is of small order.",
        signed(fields(k=f"{INLINE},1:{TEXT(bytes(32))}")),
        "plain",
    ),
    "r-form": ("R-rec-08 R-rec-02", "A statement of another form.", signed(fields(r="garbage")), "void-rollover"),
    "r-13-digits": (
        "R-rec-08",
        "Its expiry has 13 digits.",
        signed(fields(r=f"{TEXT(OLD_PUBLIC)}:{10**12}:{TEXT(bytes(64))}")),
        "void-rollover",
    ),
    "p-short": ("R-rec-02", "p has one octet.", signed(fields(p=TEXT(b"x"))), "all-tags"),
    "2049": ("R-rec-02", "2,049 octets.", signed(fields(zz="a" * (FULL + 1))), "2048"),
    **{
        f"{name}-missing": ("R-rec-02", f"{name} is missing.", signed(fields(**{name: None})), "plain")
        for name in "mnxaigk"
    },
}

UNSIGNED = {
    "domain": ("R-rec-05", "Signed for another domain.", signed(fields(), "z.example"), "plain"),
    "octet": ("R-rec-05", "A tag was changed.", signed(fields()).replace(b"m=enforce", b"m=testing"), "plain"),
    "white-space": ("R-rec-05", "A space was added.", signed(fields()).replace(b"; m", b";  m"), "plain"),
    "key": ("R-rec-05", "Signed by a key that is not tag i.", signed(fields(), seed=B.identity), "plain"),
}


def _policies():
    for name, (requirements, comment, text) in DONE.items():
        task = {"domain": DOMAIN, "text": b64(text)}
        yield vector("policy-record", f"policy-record/done/{name}", requirements, comment, task)
    for stage, cases in (("record", MALFORMED), ("record-signature", UNSIGNED)):
        for name, (requirements, comment, text, twin) in cases.items():
            task = {"domain": DOMAIN, "text": b64(text)}
            refused = (stage, "policy-unknown")
            name = f"signature-{name}" if stage == "record-signature" else name
            twin = f"policy-record/done/{twin}"
            yield vector("policy-record", f"policy-record/refused/{name}", requirements, comment, task, refused, twin)


def _key_records():
    key = A.sealing[0]
    text = key_record.write(2, key.public)
    small = key.public[:1184] + bytes(32)
    modulus = b"\x01\x0d\x00" + key.public[3:]
    full = text + b"; zz=" + b"a" * (4096 - len(text) - 5)

    def one(name, comment, octets_, twin=None, public=key.public, **entry):
        result = "refused" if twin else "done"
        task = {"text": b64(octets_), "suite": 2, "key_id": b64(keyids.sealing_key_id(2, public)), **entry}
        refused = ("key-record", "policy-unusable") if twin else None
        twin = twin and f"key-record/done/{twin}"
        return vector("key-record", f"key-record/{result}/{name}", "R-rec-07", comment, task, refused, twin)

    yield one("plain", "A key of suite 2.", text)
    yield one(
        "order",
        "The tags in another order, and white space.",
        b"v=MTASEALKEY1; p=" + text.split(b"p=", 1)[1] + b" ;\tk = 2",
    )
    yield one("4096", "4,096 octets, most of them an unknown tag.", full)
    yield one("4097", "4,097 octets.", full + b"a", "4096")
    yield one("twice", "k stands twice.", text + b"; k=2", "plain")
    yield one("suite", "Another suite than in the policy.", text.replace(b"k=2", b"k=1"), "plain")
    yield one("leading-zero", "k has a leading zero.", text.replace(b"k=2", b"k=02"), "plain")
    yield one("no-suite", "k is missing.", text.replace(b" k=2;", b""), "plain")
    yield one("no-key", "p is missing.", b"v=MTASEALKEY1; k=2", "plain")
    yield one("version", "Another version.", text.replace(b"KEY1", b"KEY2"), "plain")
    yield one("key-id", "Another key than in the policy.", text, "plain", key_id=b64(bytes(32)))
    yield one(
        "short", "An octet of the key is missing.", key_record.write(2, key.public[:-1]), "plain", key.public[:-1]
    )
    yield one("small", "The X25519 part is of small order.", key_record.write(2, small), "plain", small)
    yield one("modulus", "A coefficient of the ML-KEM part is 3329.", key_record.write(2, modulus), "plain", modulus)


def _rollovers():
    def one(name, comment, value, twin=None, old=OLD_PUBLIC, now=NOW, **tags):
        result = "refused" if twin else "done"
        task = {"domain": DOMAIN, "text": b64(signed(fields(r=value, **tags))), "old_key": b64(old), "now": now}
        refused = ("rollover", "none") if twin else None
        return vector(
            "rollover", f"rollover/{result}/{name}", "R-rec-08", comment, task, refused, twin and "rollover/done/plain"
        )

    yield one("plain", "The old key names the new one.", statement())
    yield one("last-second", "It expires in a second.", statement(expiry=NOW + 1))
    yield one("expired", "It expires now.", statement(expiry=NOW), "plain")
    yield one("other-old-key", "Of another old key than the one in question.", statement(), "plain", identity_public(B))
    yield one("serial", "For another serial.", statement(serial=SERIAL + 1), "plain")
    yield one("new-key", "For another new key.", statement(new=identity_public(B)), "plain")
    yield one("domain", "For another domain.", statement(domain="z.example"), "plain")
    old, _, rest = statement().partition(":")
    forged = f"{old}:{EXPIRY}:" + statement(old=B.identity).rpartition(":")[2]
    yield one("signature", "Signed by another key.", forged, "plain")
    yield one("expiry", "Its expiry was changed.", f"{old}:{EXPIRY + 1}:{rest.rpartition(':')[2]}", "plain")
    yield one("none", "There is none.", None, "plain")


def _sets():
    def one(name, requirements, comment, records, refused=None, twin=None, now=NOW):
        result = "refused" if twin else "done"
        task = {"domain": B.domain, "records": in_json(records), "now": now}
        return vector(
            "records", f"records/{result}/{name}", requirements, comment, task, refused, twin and f"records/done/{twin}"
        )

    made = published(B)
    (name, text), (key_name, key_text) = made
    other_texts = [b"v=spf1 -all", b"v=MTASEAL12; m=x", b"v=mtaseal1;", b" v=MTASEAL1", b""]
    unusable, unknown, required = (
        ("policy", "policy-unusable"),
        ("record", "policy-unknown"),
        ("policy", "policy-required"),
    )
    yield one("plain", "R-rec-01 R-rec-07 R-dec-15", "The key of suite 2 is preferred, and stands in a record.", made)
    inline = published(party(B.domain, (1,)))
    yield one("inline", "R-rec-03", "The key of suite 1 stands inline.", inline)
    preferred = party(B.domain, (1, 2))
    yield one("preference", "R-dec-15", "Suite 1 is preferred.", published(preferred)[:1])
    others = [(name, one_text) for one_text in other_texts]
    yield one("others", "R-rec-01", "Records of other kinds are ignored.", [*others, *made, (key_name, b"v=spf1")])
    early, last = published(B, serial=NOW + 3600), published(B, expiry=NOW + 1)
    yield one("early", "R-rec-06", "The serial is 3,600 seconds ahead.", early)
    yield one("last-second", "R-rec-06", "It expires in a second.", last)
    yield one("only-others", "R-rec-01", "All records are of other kinds.", others, required, "others")
    yield one("empty", "R-rec-01", "No record at all.", [], required, "plain")
    yield one("none", "R-dec-02", "Mode none.", published(B, "none"), required, "plain")
    yield one("two", "R-rec-01", "Two policy records.", [*made, (name, text)], unknown, "plain")
    for case, second in (
        ("two-bare", b"v=MTASEAL1"),
        ("two-space", b"v=MTASEAL1 "),
        ("two-semicolon", b"v=MTASEAL1;x"),
    ):
        comment = "The second one has nothing but its version."
        yield one(case, "R-rec-01", comment, [*made, (name, second)], unknown, "others")
    forged = [(name, text.replace(b"m=enforce", b"m=testing")), (key_name, key_text)]
    yield one(
        "forged", "R-rec-05", "Changed after it was signed.", forged, ("record-signature", "policy-unknown"), "plain"
    )
    yield one("expired", "R-rec-06", "It expires now.", published(B, expiry=NOW), unusable, "last-second")
    yield one("too-early", "R-rec-06", "3,601 seconds ahead.", published(B, serial=NOW + 3601), unusable, "early")
    yield one(
        "key-missing",
        "R-dec-15",
        "The preferred key has no record; the other is not used.",
        made[:1],
        unusable,
        "plain",
    )
    yield one("key-twice", "R-rec-07", "Two key records.", [*made, (key_name, key_text)], unusable, "plain")
    bare = (key_name, b"v=MTASEALKEY1 ")
    yield one("key-two-space", "R-rec-07 R-rec-01", "The second one is bare.", [*made, bare], unusable, "plain")
    wrong = key_record.write(2, A.sealing[0].public)
    yield one(
        "key-other", "R-rec-07", "The record has another key.", [(name, text), (key_name, wrong)], unusable, "plain"
    )
    text_of = policy.sign(
        B.domain,
        B.identity,
        [("m", "enforce"), ("n", SERIAL), ("x", EXPIRY), ("a", 1), ("g", SIGNING), ("k", "9:AAAA")],
    )
    yield one("unknown-suites", "R-suite-02", "No key of a known suite.", [(name, text_of)], unusable, "inline")


def vectors():
    """All of them."""
    yield from _policies()
    yield from _key_records()
    yield from _rollovers()
    yield from _sets()
