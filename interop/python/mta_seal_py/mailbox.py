"""The grammar of a mailbox and of ESMTP parameter values (RFC 5321, 6531, 3461) for [R-uns-05]."""

import ipaddress
import re

from .identity import identity_of_domain, identity_of_mailbox

# RFC 5321 has 64, but says that nobody should rely on it; the draft has 512 for the whole.
MAX_LOCAL = 255

_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\u0080-\U0010ffff]"
_DOT_STRING = rf"{_ATEXT}+(?:\.{_ATEXT}+)*"
_QUOTED = r'"(?:[\x20\x21\x23-\x5b\x5d-\x7e\u0080-\U0010ffff]|\\[\x20-\x7e])*"'
_LOCAL = re.compile(rf"{_DOT_STRING}|{_QUOTED}")
_LITERAL = re.compile(r"\[(?:([0-9.]+)|ipv6:([0-9a-f:.]+))\]", re.IGNORECASE)
_XTEXT = r"(?:[\x21-\x2a\x2c-\x3c\x3e-\x7e]|\+[0-9A-F]{2})"
# What it stands for is printable US-ASCII ([R-con-02]).
_ENVID = re.compile(r"(?:[\x21-\x2a\x2c-\x3c\x3e-\x7e]|\+[2-6][0-9A-F]|\+7[0-9A-E])+")
# Type utf-8 escapes in a way of its own (RFC 6533).
_ORCPT = re.compile(
    rf"(?!(?i:utf-8);)[A-Za-z0-9!#$%&'*\-/?^_`{{|}}~]+;{_XTEXT}+"
    r"|(?i:utf-8);(?:[\x21-\x2a\x2c-\x3c\x3e-\x5b\x5d-\x7e\u0080-\U0010ffff]|\\x\{[0-9A-F]{2,6}\})+"
)


def is_mailbox(text):
    """Whether text is a `Mailbox`, in UTF-8 if need be."""
    local, _, domain = text.rpartition("@")
    known = _is_address(domain) or identity_of_domain(domain) is not None
    return known and len(local.encode()) <= MAX_LOCAL and _LOCAL.fullmatch(local) is not None


def _is_address(domain):
    """Whether this is an address literal of IPv4 or IPv6 ([R-id-01])."""
    match = _LITERAL.fullmatch(domain)
    try:
        return match is not None and bool(ipaddress.ip_address(match[1] or match[2]))
    except ValueError:
        return False


def is_envid(text):
    """Whether text may stand after `ENVID=`."""
    return _ENVID.fullmatch(text) is not None


def is_orcpt(text):
    """Whether text may stand after `ORCPT=`."""
    return _ORCPT.fullmatch(text) is not None


def same_mailbox(one, other):
    """Equal local parts, octet by octet, and equal identities of the domains ([R-uns-03], [R-id-01])."""
    identity = identity_of_mailbox(one)
    return (
        identity is not None
        and identity == identity_of_mailbox(other)
        and one.rpartition("@")[0] == other.rpartition("@")[0]
    )
