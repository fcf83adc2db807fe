"""The organisations of the vectors: their keys and what they publish."""

from mta_seal_py import ed25519, publishing
from mta_seal_py.ownkeys import OwnKeys, SealingKey
from mta_seal_py.tasks import b64

from .randomness import octets

NOW = 1_800_000_000
SERIAL, EXPIRY = NOW - 86400, NOW + 2592000
WINDOW = 1209600


def party(domain, suites=(2, 1)):
    """The keys of a domain."""
    name = f"party/{domain}"
    return OwnKeys(
        domain,
        octets(name, "identity", 32),
        [octets(name, "signing-0", 32)],
        [SealingKey(suite, octets(name, f"sealing-{suite}-0", 32)) for suite in suites],
    )


A, B, C = party("a.example"), party("b.example"), party("c.example")


def published(own, mode="enforce", serial=SERIAL, expiry=EXPIRY, **more):
    """What a domain publishes: names and texts."""
    return publishing.records(own, mode, serial, expiry, **more)


def in_json(records):
    """Records as a vector has them."""
    return [{"name": name, "text": b64(text)} for name, text in records]


def own_keys(own, domain=None):
    """Sealing keys as a vector has them."""
    keys = [{"suite": key.suite, "private_key": b64(key.seed)} for key in own.sealing]
    return {"domain": domain or own.domain, "sealing": keys, "destroyed": []}


def identity_public(own):
    """The identity key of a domain."""
    return ed25519.public_key(own.identity)


def policy_text(own, **changes):
    """The text of the policy alone."""
    return published(own, **changes)[0][1]
