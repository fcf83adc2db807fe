"""Unseals a carrier, check by check in the order of [R-uns-01]."""

from dataclasses import dataclass

from . import body, content, ed25519, envelope, recognition, suites
from . import prefix as prefixes
from .claims import Claims
from .failures import (
    DeliveredRefused,
    DomainRefused,
    HpkeRefused,
    KeyRefused,
    OpeningRefused,
    PathsRefused,
    RecipientsRefused,
    RecordRefused,
    ReversePathRefused,
    SenderPolicyRefused,
    TimeRefused,
    TypeRefused,
)
from .identity import identity_of_mailbox
from .mailbox import same_mailbox
from .message import check_header, check_octets
from .policy import DEFAULT_WINDOW

CLOCK_TOLERANCE = 3600


@dataclass(frozen=True)
class Verified:
    """A message and what is known about it once every check has passed."""

    message: bytes
    envelope: envelope.Envelope
    prefix: prefixes.Prefix
    recipients: tuple
    refused: tuple

    def report(self):
        """For people and programs."""
        reverse = self.prefix.reverse_path
        return {
            "result": "pass",
            "sender_domain": self.prefix.sender_domain,
            "recipient_domain": self.envelope.header.recipient_domain,
            "suite": self.envelope.header.suite,
            "key_id": self.envelope.header.key_id.hex(),
            "envelope_id": self.envelope.id.hex(),
            "signing_key_id": self.prefix.signing_key_id.hex(),
            "delivery_id": self.prefix.delivery_id.hex(),
            "sealed_at": self.prefix.sealed_at,
            "flags": self.prefix.flags,
            "foreign_mail_from": self.prefix.foreign,
            "mail_from": reverse.mailbox,
            "body": reverse.body,
            "smtputf8": reverse.smtputf8,
            "ret": reverse.ret,
            "envid": reverse.envid,
            "rcpt_to": [path.mailbox for path in self.recipients],
            "notify": [path.notify for path in self.recipients],
            "orcpt": [path.orcpt for path in self.recipients],
            "refused_rcpt_to": list(self.refused),
            "octets": len(self.message),
        }


def sender_key(records, prefix, now):
    """Check 7: the signing key, from a policy in force of the sender domain ([R-dec-19])."""
    try:
        policy = records.policy(prefix.sender_domain)
    except RecordRefused as error:
        raise SenderPolicyRefused(f"policy of {prefix.sender_domain}: {error.detail}") from None
    if policy is None:
        raise SenderPolicyRefused(f"{prefix.sender_domain} publishes no policy")
    if not policy.in_time(now):
        raise SenderPolicyRefused("the sender's policy is not in force now")
    key = policy.signing_key(prefix.signing_key_id)
    if key is None:
        raise SenderPolicyRefused("the sender's policy does not list the signing key", "unauthentic")
    return key


def check_paths(prefix, recipient_domain):
    """Check 9: the paths are of their grammar, and every recipient of the recipient domain ([R-con-02])."""
    if prefix.lacks_smtputf8:
        raise PathsRefused("a path or ORCPT is not ASCII, and smtputf8 is 0")
    if not prefix.reverse_path.is_well_formed():
        raise PathsRefused(f"reverse-path {prefix.reverse_path.mailbox!r} or its parameter")
    for path in prefix.forward_paths:
        if not path.is_well_formed():
            raise PathsRefused(f"forward-path {path.mailbox!r} or its parameter")
        if identity_of_mailbox(path.mailbox) != recipient_domain:
            raise PathsRefused(f"forward-path {path.mailbox!r} is not of {recipient_domain}")


def check_reverse_path(prefix, aligned=False):
    """Check 9; `aligned`: none that is flagged foreign will do ([R-uns-11])."""
    if aligned and prefix.foreign:
        raise ReversePathRefused("flagged foreign", "not-aligned")
    mailbox = prefix.reverse_path.mailbox
    if mailbox and not prefix.foreign and identity_of_mailbox(mailbox) != prefix.sender_domain:
        raise ReversePathRefused(f"{mailbox!r} is not of {prefix.sender_domain}")


def check_time(prefix, window, now):
    """Check 10."""
    if prefix.sealed_at > now + CLOCK_TOLERANCE:
        raise TimeRefused("sealed in the future", "in-future")
    if now - prefix.sealed_at > window:
        raise TimeRefused(f"sealed more than {window} seconds ago")


def matching(prefix, outer):
    """Check 12: the signed recipients that the outer SMTP envelope has, and outer ones not signed ([R-uns-03])."""
    kept = tuple(path for path in prefix.forward_paths if any(same_mailbox(path.mailbox, one) for one in outer))
    refused = tuple(one for one in outer if not any(same_mailbox(path.mailbox, one) for path in prefix.forward_paths))
    return kept, refused


def unseal(carrier, own_keys, records, outer, now, window=DEFAULT_WINDOW, claims=None, aligned=False):
    """What a carrier holds; `outer` None delivers the whole signed list.

    `own_keys` are the keys of every domain of the gateway; `aligned` is what it requires of the sender ([R-uns-11]).
    """
    parsed = recognition.find(carrier, {own.domain for own in own_keys})
    return unseal_envelope(parsed, own_keys, records, outer, now, window, claims, aligned)


def unseal_envelope(parsed, own_keys, records, outer, now, window=DEFAULT_WINDOW, claims=None, aligned=False):
    """Checks 2 to 16 on an envelope that check 1 has passed."""
    claims = claims or Claims()
    header = parsed.header
    own = next((own for own in own_keys if own.domain == header.recipient_domain), None)
    if own is None:
        raise DomainRefused(f"sealed to {header.recipient_domain}")
    key = own.sealing_key(header.key_id)
    if header.key_id in own.destroyed:
        raise KeyRefused(f"key {header.key_id.hex()} is destroyed", "destroyed-key")
    if key is None or key.suite != header.suite:
        raise KeyRefused(f"key {header.key_id.hex()} is not known")
    info = envelope.content_key_info(parsed.header_octets)
    content_key = suites.hpke_open(header.suite, key.seed, parsed.enc, info, parsed.sealed_key)
    if content_key is None:
        raise HpkeRefused("HPKE does not open the content key")
    octets = body.open_body(content_key, parsed.id, parsed.body)
    prefix_octets, opening, rest = content.split(octets)
    prefix = prefixes.parse(prefix_octets)
    public = sender_key(records, prefix, now)
    salt, commitment = parsed.body[: body.SALT], parsed.body[body.SALT : body.HEAD]
    if not ed25519.verify(public, opening, content.opening_input(parsed.id, salt, commitment, prefix_octets)):
        raise OpeningRefused("the opening signature does not verify")
    if prefix.type != prefixes.MAIL:
        raise TypeRefused("the content is a receipt")
    check_paths(prefix, header.recipient_domain)
    check_reverse_path(prefix, aligned)
    check_time(prefix, window, now)
    kept, refused = (prefix.forward_paths, ()) if outer is None else matching(prefix, outer)
    fresh = tuple(path for path in kept if not claims.taken_by(parsed.id, prefix, path.mailbox))
    if kept and not fresh:
        raise DeliveredRefused("every recipient had this message before")
    if not fresh:
        raise RecipientsRefused("no recipient is among the signed ones")

    def judge(octets, ended=True):
        check_header(octets, ended, prefix.sender_domain if aligned else None)
        check_octets(octets, ended)

    message, blocks_end = content.message_of(rest, judge)
    content.check_padding(len(octets), rest, blocks_end)
    content.check_closing(public, opening, rest)
    claims.claim(parsed.id, prefix, [path.mailbox for path in fresh])
    return Verified(message, parsed, prefix, fresh, refused)
