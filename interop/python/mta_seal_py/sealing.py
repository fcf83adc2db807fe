"""Seals one message to one recipient domain ([R-seal-01], [R-seal-02])."""

import os

from . import body, carrier, content, ed25519, envelope, mime, prefix, suites
from .failures import PathRefused, PolicyRefused
from .identity import identity_of_mailbox
from .message import check_loop, check_octets
from .paths import lacks_smtputf8
from .wire import WireError


def recipient_domain_of(forward_paths):
    """The one domain of all recipients ([R-con-02])."""
    domains = {identity_of_mailbox(path.mailbox) for path in forward_paths}
    if len(domains) != 1 or None in domains:
        raise PathRefused("recipients are not all of one domain that has an identity")
    return domains.pop()


def check_paths(reverse_path, forward_paths):
    """Paths and parameters are of their grammar and length, and ASCII without SMTPUTF8 ([R-con-01], [R-con-02])."""
    if lacks_smtputf8(reverse_path, forward_paths):
        raise PathRefused("a path or ORCPT is not ASCII, and SMTPUTF8 was not given")
    for path in (reverse_path, *forward_paths):
        if not path.is_well_formed():
            raise PathRefused(f"{path.mailbox!r} or its parameter is not of its grammar")
        try:
            path.encode()
        except WireError as error:
            raise PathRefused(f"{path.mailbox!r} or its parameter: {error}") from None


def make_prefix(own, reverse_path, forward_paths, now, delivery_id=None, flags=None):
    """The prefix that the gateway of `own` writes."""
    if flags is None:
        sender = identity_of_mailbox(reverse_path.mailbox) if reverse_path.mailbox else own.domain
        flags = 0 if sender == own.domain else prefix.FOREIGN
    return prefix.Prefix(
        sender_domain=own.domain,
        signing_key_id=own.signing_key_id,
        sealed_at=now,
        delivery_id=delivery_id or os.urandom(16),
        reverse_path=reverse_path,
        forward_paths=tuple(forward_paths),
        flags=flags,
    )


def seal_content(header, public, build):
    """An envelope; `build` makes the content from the envelope id, salt and commitment."""
    header_octets = header.encode()
    content_key = os.urandom(32)
    enc, sealed_key = suites.hpke_seal(header.suite, public, envelope.content_key_info(header_octets), content_key)
    envelope_id = envelope.envelope_id(header_octets, enc, sealed_key)
    sealer = body.Sealer(content_key, envelope_id)
    octets = build(envelope_id, sealer.head[: body.SALT], sealer.head[body.SALT :])
    return header_octets + enc + sealed_key + sealer.seal(octets), envelope_id


def seal_envelope(own, header, public, prefix_octets, message, block_size=content.BLOCK):
    """An envelope of a message, signed by the first signing key of `own`."""
    seed = own.signing[0]

    def build(envelope_id, salt, commitment):
        return content.build(
            prefix_octets,
            message,
            lambda octets: ed25519.sign(seed, content.opening_input(envelope_id, salt, commitment, octets)),
            lambda octets: ed25519.sign(seed, octets),
            block_size,
        )

    return seal_content(header, public, build)


def recipient_key(records, domain, now, suite=None):
    """The policy of a domain and the key to seal to: its entry and the public key ([R-rec-06], [R-dec-15])."""
    policy = records.policy(domain)
    if policy is None:
        raise PolicyRefused(f"{domain} publishes no sealing policy", "policy-required")
    if not policy.in_time(now):
        raise PolicyRefused("policy is not in force now", "policy-required" if policy.mode == "none" else None)
    if policy.mode == "none":
        raise PolicyRefused(f"{domain} asks not to be sealed to", "policy-required")
    return policy, *records.sealing_key(domain, policy, suite)


def seal(own, records, reverse_path, forward_paths, message, now, suite=None):
    """The carrier of a message, and what there is to report about it."""
    check_paths(reverse_path, forward_paths)
    check_loop(mime.read_entity(message, 0, len(message)))
    check_octets(message)
    domain = recipient_domain_of(forward_paths)
    _, entry, public = recipient_key(records, domain, now, suite)
    header = envelope.Header(entry.suite, entry.key_id, domain)
    prefix_octets = make_prefix(own, reverse_path, forward_paths, now).encode()
    sealed, envelope_id = seal_envelope(own, header, public, prefix_octets, message)
    report = {
        "result": "sealed",
        "sender_domain": own.domain,
        "recipient_domain": domain,
        "suite": entry.suite,
        "key_id": entry.key_id.hex(),
        "envelope_id": envelope_id.hex(),
        "envelope_octets": len(sealed),
        "octets": len(message),
    }
    return carrier.write(sealed, own.domain, domain, now), report
