"""The rollover statement of tag `r` ([R-rec-08])."""

from dataclasses import dataclass

from . import base64s, ed25519, labels
from .failures import RecordRefused
from .tags import MAX_TIME, number
from .wire import uint, vector


@dataclass(frozen=True)
class Statement:
    """A statement of its right form, verified or not."""

    old_key: bytes
    expiry: int
    signature: bytes


def signature_input(domain, old_key, new_key, serial, expiry):
    """`RolloverInput`."""
    return labels.labelled(
        labels.ROLLOVER, vector(domain.encode(), 1, 253), old_key, new_key, uint(serial, 8), uint(expiry, 8)
    )


def parse(value):
    """The statement in the value of tag `r`; its form counts as a part of the record."""
    parts = value.split(":")
    if len(parts) != 3:
        raise RecordRefused("tag r: not three parts")
    try:
        return Statement(
            base64s.decode_exactly(parts[0], 32),
            number("r", parts[1], 0, MAX_TIME),
            base64s.decode_exactly(parts[2], 64),
        )
    except ValueError as error:
        raise RecordRefused(f"tag r: {error}") from None


def proves(policy, old_key, now):
    """Whether the policy proves that its identity key succeeds `old_key`."""
    statement = policy.statement
    return (
        statement is not None
        and statement.old_key == old_key
        and now < statement.expiry
        and ed25519.verify(
            old_key,
            statement.signature,
            signature_input(policy.domain, old_key, policy.identity, policy.serial, statement.expiry),
        )
    )


def sign(domain, old_seed, new_key, serial, expiry):
    """The value of tag `r`."""
    old_key = ed25519.public_key(old_seed)
    signature = ed25519.sign(old_seed, signature_input(domain, old_key, new_key, serial, expiry))
    return f"{base64s.encode(old_key)}:{expiry}:{base64s.encode(signature)}"
