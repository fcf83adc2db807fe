"""The policy record ([R-rec-01] to [R-rec-06])."""

import re
from dataclasses import dataclass, field

from . import base64s, ed25519, keyids, labels, rollover, suites, tags
from .failures import RecordRefused, RecordSignatureRefused
from .wire import vector

VERSION = b"v=MTASEAL1"
LIMIT = 2048
CLOCK_TOLERANCE = 3600
MAX_KEYS = 8
MODES = ("enforce", "testing", "none")
DEFAULT_WINDOW = 1209600

_BASE64 = r"[A-Za-z0-9+/]+={0,2}"
_SELECTOR = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_SEALING_KEY = re.compile(rf"([1-9][0-9]{{0,4}}):(?:({_SELECTOR}):)?({_BASE64})")


def query_name(domain):
    """Where the policy of a domain is published."""
    return f"_mta-seal.{domain}"


@dataclass(frozen=True)
class SealingEntry:
    """An entry of tag `k` of a known suite: `public` if inline, else `selector`; `key_id` either way."""

    suite: int
    key_id: bytes
    public: bytes | None = None
    selector: str | None = None


@dataclass(frozen=True)
class Policy:
    """A policy whose signature has verified."""

    domain: str
    mode: str
    serial: int
    expiry: int
    max_age: int
    window: int
    identity: bytes
    signing_keys: tuple = ()
    sealing_keys: tuple = ()
    outgoing_always: bool = False
    statement: rollover.Statement | None = None
    next_identity: bytes | None = None
    text: bytes = field(default=b"", repr=False)

    def in_time(self, now):
        """Whether the policy may be used ([R-rec-06])."""
        return self.serial - CLOCK_TOLERANCE <= now < self.expiry

    def signing_key(self, key_id):
        """The signing key of this id, or None."""
        return next((key for key in self.signing_keys if keyids.signing_key_id(key) == key_id), None)


def signature_input(domain, text):
    """`PolicyInput` ([R-rec-05])."""
    return labels.labelled(labels.POLICY, vector(query_name(domain).encode(), 1, 255), vector(text, 1, 2**16 - 1))


def _octets(name, value, octets=32):
    try:
        return base64s.decode_exactly(value, octets)
    except ValueError as error:
        raise RecordRefused(f"tag {name}: {error}") from None


def _ed25519_key(name, value):
    key = _octets(name, value)
    if not ed25519.is_good_point(key):
        raise RecordRefused(f"tag {name}: no Ed25519 public key")
    return key


def _signing_keys(value):
    keys = tuple(_ed25519_key("g", one) for one in value.split(","))
    if len(keys) > MAX_KEYS:
        raise RecordRefused(f"tag g: more than {MAX_KEYS} keys")
    return keys


def _sealing_entry(text):
    """One entry of tag `k`; None if its suite is unknown ([R-suite-02], [R-rec-03])."""
    match = _SEALING_KEY.fullmatch(text)
    if match is None or int(match[1]) > 65535:
        raise RecordRefused(f"tag k: {text!r} is no sealing-key")
    suite, selector = int(match[1]), match[2]
    try:
        data = base64s.decode(match[3])
    except ValueError as error:
        raise RecordRefused(f"tag k: {error}") from None
    info = suites.SUITES.get(suite)
    if info is None:
        return None
    if info.inline != (selector is None):
        raise RecordRefused(f"tag k: key of suite {suite} in the wrong form")
    if not info.inline:
        if len(data) != 32:
            raise RecordRefused("tag k: key id is not of 32 octets")
        return SealingEntry(suite, data, selector=selector)
    try:
        suites.load_public(suite, data)
    except ValueError as error:
        raise RecordRefused(f"tag k: {error}") from None
    return SealingEntry(suite, keyids.sealing_key_id(suite, data), public=data)


def _sealing_keys(value):
    entries = value.split(",")
    if len(entries) > MAX_KEYS:
        raise RecordRefused(f"tag k: more than {MAX_KEYS} keys")
    return tuple(entry for entry in map(_sealing_entry, entries) if entry is not None)


def parse(domain, text):
    """The policy of a domain from the text of its record; its signature is verified."""
    found = tags.parse(text, VERSION, LIMIT)
    if not found or found[-1].name != "s":
        raise RecordRefused("tag s is not last")
    value = {tag.name: tag.value for tag in found}
    mode = value.get("m")
    if mode not in MODES:
        raise RecordRefused(f"tag m: {mode!r}")
    required = ["n", "x", "a", "i"] + (["g", "k"] if mode != "none" else [])
    for name in required:
        if name not in value:
            raise RecordRefused(f"tag {name} is missing")
    serial = tags.number("n", value["n"], 0, tags.MAX_TIME)
    identity = _ed25519_key("i", value["i"])
    if value.get("o", "always") != "always":
        raise RecordRefused(f"tag o: {value['o']!r}")
    policy = Policy(
        domain=domain,
        mode=mode,
        serial=serial,
        expiry=tags.number("x", value["x"], serial + 1, tags.MAX_TIME),
        max_age=tags.number("a", value["a"], 0, 31557600),
        window=tags.number("w", value.get("w", str(DEFAULT_WINDOW)), 3600, 2592000),
        identity=identity,
        signing_keys=_signing_keys(value["g"]) if "g" in value else (),
        sealing_keys=_sealing_keys(value["k"]) if "k" in value else (),
        outgoing_always="o" in value,
        statement=rollover.parse(value["r"]) if "r" in value else None,
        next_identity=_octets("p", value["p"]) if "p" in value else None,
        text=text,
    )
    signature = _octets("s", value["s"], 64)
    if not ed25519.verify(identity, signature, signature_input(domain, text[: found[-1].start])):
        raise RecordSignatureRefused("the policy is not signed by its own identity key")
    return policy


def sign(domain, identity_seed, fields):
    """The text of a policy record: `fields` is a list of (tag, value) without `v`, `i` and `s`."""
    identity = base64s.encode(ed25519.public_key(identity_seed))
    pairs = [("v", "MTASEAL1"), *fields, ("i", identity)]
    text = ("; ".join(f"{name}={value}" for name, value in pairs) + "; ").encode("ascii")
    signature = ed25519.sign(identity_seed, signature_input(domain, text))
    return text + b"s=" + base64s.encode(signature).encode()
