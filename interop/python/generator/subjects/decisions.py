"""Cells of the decision tables, a few of each kind ([R-dec-02] to [R-dec-18])."""

from mta_seal_py import keyids, publishing
from mta_seal_py.tasks import b64

from ..parties import EXPIRY, NOW, SERIAL, B, identity_public, in_json, party, policy_text
from ..randomness import octets
from ..vector import vector

OLD_SERIAL = SERIAL - 1000
REMEMBERED = party("b.example", (1,))
NEW = party("b.example")
NEW.identity = octets("party/b.example", "identity-after", 32)


def found(own=B, secure=False, keys=True, mode="enforce", **more):
    """A policy that was found; `keys`: whether its key record was."""
    made = publishing.records(own, mode, more.pop("serial", SERIAL), more.pop("expiry", EXPIRY), **more)
    records = in_json(made[1:]) if keys else []
    return {"result": "found", "secure": secure, "policy": b64(made[0][1]), "key_records": records}


def denied(kind="nxdomain", secure=False):
    """There is no policy."""
    return {"result": kind, "secure": secure}


def memory(mode="enforce", level="first-use", enforce=True, key=True, own=REMEMBERED, **more):
    """A policy that is remembered, with its key."""
    remembered = own.sealing[0]
    text = policy_text(own, mode=mode, serial=OLD_SERIAL, **more)
    return {
        "policy": b64(text),
        "level": level,
        "key": {"suite": 1, "public_key": b64(remembered.public)} if key else None,
        "enforce_until": NOW + 1000 if enforce else 0,
    }


PIN = b64(keyids.fingerprint(identity_public(B)))
ROLLED = {"own": NEW, "old_identity": B.identity}
UNKNOWN, UNUSABLE, REQUIRED = "policy-unknown", "policy-unusable", "policy-required"


def done(*case, **rest):
    """A case that seals or lets go."""
    return *case, rest, None, None


def refused(*case, failure, twin, **rest):
    """A case that waits or is refused."""
    return *case, rest, failure, twin


def _cases():
    """Name, requirements, comment, outcome, memory, changes of the rest, failure and twin."""
    calm, calm_at_dnssec = (memory(level=level, key=False, enforce=False) for level in ("first-use", "dnssec"))
    k, ke, e = memory("testing", enforce=False), memory(), memory(key=False)
    yield done("first-use", "R-dec-01", "Found, nothing remembered.", found(), None)
    yield done("dnssec", "R-dec-01", "Found, secure.", found(secure=True), None)
    yield done("remembered", "R-dec-01 R-dec-10", "A new text of the remembered key.", found(), ke)
    yield done("enforce-found", "R-dec-01", "The same, without a remembered key.", found(), e)
    yield done("rollover", "R-dec-07 R-rec-08", "Of its proven successor.", found(**ROLLED), e)
    announced = memory(next_identity=keyids.fingerprint(identity_public(NEW)))
    yield done("announced", "R-dec-01", "Of the key that was announced.", found(NEW), announced)
    yield done("stronger", "R-dec-07", "Another identity key by stronger evidence.", found(NEW, secure=True), calm)
    yield done("none", "R-dec-05 R-dec-20", "Mode none.", found(mode="none"), None)
    yield done("none-lifts", "R-dec-11", "Mode none of the remembered key lifts enforce.", found(mode="none"), ke)
    text = "Secure, too."
    yield done("none-lifts-secure", "R-dec-11", text, found(secure=True, mode="none"), ke)
    yield done("denied", "R-dec-05", "There is no policy.", denied(), None)
    yield done("denied-secure", "R-dec-05", "There is none, securely.", denied(secure=True), None)
    text = "There is none any more, and neither key nor enforce is remembered."
    yield done("denied-calm", "R-dec-05 R-dec-11", text, denied("nodata", True), calm)
    yield done("denied-remembered", "R-dec-06", "There is none any more: memory.", denied(secure=True), k)
    yield done("servfail-remembered", "R-dec-06", "The look-up fails: memory.", {"result": "servfail"}, ke)
    yield done("expired-remembered", "R-dec-08", "The policy has expired: memory.", found(expiry=NOW), ke)
    yield done("serial-back", "R-dec-06", "A lower serial: memory.", found(serial=OLD_SERIAL - 1), ke)
    yield done("other-remembered", "R-dec-07", "Another identity key: memory.", found(NEW), ke)
    yield done(
        "testing-no-key",
        "R-dec-14",
        "Testing, and no key.",
        found(party("b.example", (2,)), keys=False, mode="testing"),
        None,
    )
    yield done(
        "testing-other-key", "R-dec-15", "Testing: the less preferred key.", found(keys=False, mode="testing"), None
    )
    yield done("weaker", "R-dec-17", "The less preferred key is allowed.", found(keys=False), None, weaker_suite=True)
    yield done("override-clear", "R-dec-18", "An override.", {"result": "timeout"}, None, override=True)
    yield done("override-enforce", "R-dec-18", "Even over enforce.", denied(), e, override=True)
    yield done("override-seals", "R-dec-18 R-dec-27", "What can be sealed is sealed.", found(), None, override=True)
    text = "What is below the minimum goes clear, too."
    yield done("override-minimum", "R-dec-18 R-dec-23", text, found(), None, override=True, minimum="dnssec")
    none = memory("none", level="dnssec", enforce=False, key=False)
    text = "Of another identity key, and a none outside its time: its time is judged first."
    yield done("none-expired-other", "R-dec-06 R-dec-08", text, found(NEW, mode="none", expiry=NOW), none)
    yield done("never", "R-dec-04", "Never wins over enforce.", found(), ke, rule="never")
    yield done("pin", "R-dec-16", "The pinned key.", found(), None, pin=PIN)
    yield done("pin-secure", "R-dec-16", "The pinned key, secure.", found(secure=True), None, pin=PIN)
    text = "A secure none of the pinned key."
    yield done("pin-none", "R-dec-28", text, found(secure=True, mode="none"), None, pin=PIN)
    text = "It lifts a remembered enforce."
    yield done("pin-none-lifts", "R-dec-11 R-dec-28", text, found(secure=True, mode="none"), ke, pin=PIN)
    text = "Never wins over an unsupported none."
    yield done("never-pin-none", "R-dec-04 R-dec-28", text, found(mode="none"), None, rule="never", pin=PIN)
    yield done("pin-memory", "R-dec-16", "Memory that fits the pin.", {"result": "bogus"}, ke, pin=PIN)
    yield done("minimum", "R-dec-16", "As good as the minimum.", found(secure=True), None, minimum="dnssec")
    yield done("denied-minimum", "R-dec-16", "A secure denial.", denied(secure=True), None, minimum="dnssec")
    yield done("key-remembered", "R-dec-13", "The key of the policy is remembered.", found(REMEMBERED), ke)

    for kind in (
        "servfail",
        "timeout",
        "bogus",
        "malformed",
        "two-records",
        "cname-loop",
        "too-large",
        "bad-signature",
    ):
        comment = "An error of the look-up never goes clear."
        yield refused(kind, "R-dec-22", comment, {"result": kind}, None, failure=UNKNOWN, twin="denied")
        name, comment = f"{kind}-enforce", "Enforce is remembered, and no key."
        yield refused(name, "R-dec-21", comment, {"result": kind}, e, failure=UNKNOWN, twin="enforce-found")
    yield refused(
        "denied-demand", "R-dec-20", "A demand.", denied(), None, demand=True, failure=REQUIRED, twin="denied"
    )
    yield refused(
        "denied-require", "R-dec-20", "The rule.", denied(), None, rule="require", failure=REQUIRED, twin="denied"
    )
    yield refused(
        "none-demand", "R-dec-20", "A demand.", found(mode="none"), None, demand=True, failure=REQUIRED, twin="none"
    )
    yield refused(
        "never-demand",
        "R-dec-04",
        "A demand.",
        found(),
        ke,
        rule="never",
        demand=True,
        failure="demand-refused",
        twin="never",
    )
    yield refused(
        "denied-enforce",
        "R-dec-21",
        "Enforce is remembered.",
        denied("nodata", True),
        memory(key=False),
        failure=UNUSABLE,
        twin="denied-calm",
    )
    yield refused(
        "expired", "R-rec-06 R-dec-08", "Expired.", found(expiry=NOW), None, failure=UNUSABLE, twin="first-use"
    )
    yield refused(
        "early", "R-rec-06 R-dec-08", "Too early.", found(serial=NOW + 3601), None, failure=UNUSABLE, twin="first-use"
    )
    yield refused(
        "other-key",
        "R-dec-15",
        "Only the less preferred key.",
        found(keys=False),
        None,
        failure=UNUSABLE,
        twin="weaker",
    )
    yield refused(
        "testing-demand",
        "R-dec-14",
        "A demand.",
        found(keys=False, mode="testing"),
        None,
        demand=True,
        failure=UNUSABLE,
        twin="testing-other-key",
    )
    yield refused(
        "testing-pin",
        "R-dec-14",
        "A pin.",
        found(party("b.example", (2,)), keys=False, mode="testing"),
        None,
        pin=PIN,
        failure=UNUSABLE,
        twin="testing-no-key",
    )
    yield refused(
        "other", "R-dec-07", "Another identity key.", found(NEW), e, failure=UNUSABLE, twin="rollover"
    )
    yield refused(
        "other-secure",
        "R-dec-07",
        "The same, secure; memory is at dnssec.",
        found(NEW, secure=True),
        calm_at_dnssec,
        failure=UNUSABLE,
        twin="stronger",
    )
    yield refused(
        "none-stronger",
        "R-dec-11",
        "Mode none by stronger evidence lifts nothing.",
        found(NEW, secure=True, mode="none"),
        ke,
        failure=UNUSABLE,
        twin="none-lifts-secure",
    )
    yield refused(
        "pin-other",
        "R-dec-07 R-dec-24",
        "Another key than the pinned one.",
        found(NEW, secure=True),
        None,
        pin=PIN,
        failure=UNUSABLE,
        twin="pin-secure",
    )
    yield refused(
        "pin-statement",
        "R-dec-01 R-dec-07",
        "A statement of the pinned key proves nothing where nothing is remembered.",
        found(**ROLLED),
        None,
        pin=PIN,
        failure=UNUSABLE,
        twin="pin",
    )
    yield refused(
        "none-other",
        "R-dec-07",
        "A none of another identity key, in its time.",
        found(NEW, mode="none"),
        none,
        failure=UNUSABLE,
        twin="none-expired-other",
    )
    yield refused(
        "pin-denied",
        "R-dec-16 R-dec-24",
        "A pin, and no policy.",
        denied(secure=True),
        None,
        pin=PIN,
        failure=UNUSABLE,
        twin="denied-secure",
    )
    yield refused(
        "pin-none",
        "R-dec-28",
        "A none of the pinned key, which is unsupported.",
        found(mode="none"),
        None,
        pin=PIN,
        failure=UNUSABLE,
        twin="pin-none",
    )
    yield refused(
        "pin-none-lifts",
        "R-dec-11 R-dec-28",
        "It lifts nothing.",
        found(mode="none"),
        ke,
        pin=PIN,
        failure=UNUSABLE,
        twin="pin-none-lifts",
    )
    yield refused(
        "never-pin-none-demand",
        "R-dec-04 R-dec-28",
        "A demand.",
        found(mode="none"),
        None,
        rule="never",
        pin=PIN,
        demand=True,
        failure="demand-refused",
        twin="never-pin-none",
    )
    yield refused(
        "below-minimum",
        "R-dec-23",
        "Below the minimum.",
        found(),
        None,
        minimum="remembered",
        failure=UNUSABLE,
        twin="first-use",
    )
    yield refused(
        "memory-below-minimum",
        "R-dec-23",
        "So is memory.",
        denied(secure=True),
        k,
        minimum="dnssec",
        failure=UNUSABLE,
        twin="denied-remembered",
    )
    yield refused(
        "denied-below",
        "R-dec-16",
        "An insecure denial.",
        denied(),
        None,
        minimum="dnssec",
        failure=UNUSABLE,
        twin="denied-minimum",
    )
    yield refused(
        "override-require",
        "R-dec-18",
        "Never against require.",
        {"result": "timeout"},
        None,
        override=True,
        rule="require",
        failure=UNKNOWN,
        twin="override-clear",
    )


def vectors():
    """All of them."""
    for name, requirements, comment, outcome, remembered, rest, failure, twin in _cases():
        task = {
            "domain": B.domain,
            "rule": "prefer",
            "minimum": "first-use",
            "pin": None,
            "weaker_suite": False,
            "override": False,
            "demand": False,
            "now": NOW,
            "outcome": outcome,
            "memory": remembered,
            **rest,
        }
        result = "refused" if failure else "done"
        stage = ("decision", failure) if failure else None
        yield vector(
            "decide", f"decide/{result}/{name}", requirements, comment, task, stage, twin and f"decide/done/{twin}"
        )
