"""Makes the records of a domain from its own keys."""

from . import base64s, ed25519, key_record, policy, rollover


def policy_fields(own, mode, serial, expiry, max_age=2592000, window=None):
    """The tags of the policy but `v`, `i` and `s`."""
    fields = [("m", mode), ("n", serial), ("x", expiry), ("a", max_age)]
    if window is not None:
        fields.append(("w", window))
    if own.signing:
        fields.append(("g", ",".join(base64s.encode(ed25519.public_key(seed)) for seed in own.signing)))
    entries = [
        f"1:{base64s.encode(key.public)}"
        if key.suite == 1
        else f"{key.suite}:{key.selector}:{base64s.encode(key.key_id)}"
        for key in own.sealing
    ]
    if entries:
        fields.append(("k", ",".join(entries)))
    return fields


def records(
    own, mode, serial, expiry, max_age=2592000, window=None, always=False, old_identity=None, next_identity=None
):
    """The records as (name, text): the policy, then a key record for every listed key."""
    fields = policy_fields(own, mode, serial, expiry, max_age, window)
    listed = [
        (key_record.query_name(key.selector, own.domain), key_record.write(key.suite, key.public))
        for key in own.sealing
        if key.suite != 1
    ]
    if always:
        fields.append(("o", "always"))
    if old_identity is not None:
        new_key = ed25519.public_key(own.identity)
        fields.append(("r", rollover.sign(own.domain, old_identity, new_key, serial, expiry)))
    if next_identity is not None:
        fields.append(("p", base64s.encode(next_identity)))
    text = policy.sign(own.domain, own.identity, fields)
    return [(policy.query_name(own.domain), text), *listed]
