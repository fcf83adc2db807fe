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
# What it stands for is printable US-ASCII ([R-con-02]).
_ENVID = re.compile(r"(?:[\x21-\x2a\x2c-\x3c\x3e-\x7e]|\+[2-6][0-9A-F]|\+7[0-9A-E])+")
# An atom, but for the "=" that no value has. Its xtext stands for no control character.
_ADDR_TYPE = r"[A-Za-z0-9!#$%&'*+\-/?^_`{|}~]+"
_ORCPT = re.compile(rf"(?!(?i:utf-8);){_ADDR_TYPE};(?:[\x21-\x2a\x2c-\x3c\x3e-\x7e]|\+(?!7F)[2-9A-F][0-9A-F])+")
# Type utf-8 escapes in a way of its own (RFC 6533).
_UTF_8_ORCPT = re.compile(r"(?i:utf-8);((?:[\x21-\x2a\x2c-\x3c\x3e-\x5b\x5d-\x7e\u00a0-\U0010ffff]|\\x\{[^}]*\})+)")
_ESCAPE = re.compile(r"\\x\{([^}]*)\}")
_HEXPOINT = re.compile(r"[1-9A-Fa-f][0-9A-Fa-f]{1,5}")
_ESCAPED_ASCII = frozenset(b" +=\\")
MAX_ORCPT = 500


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


def _may_be_escaped(hexpoint):
    """Whether this is the number of a character that an escape stands for: no control character, no surrogate."""
    if _HEXPOINT.fullmatch(hexpoint) is None:
        return False
    point = int(hexpoint, 16)
    return 0xA0 <= point < 0xD800 or 0xE000 <= point < 0x110000 or point in _ESCAPED_ASCII


def _in_ascii(address):
    """The form of an address of type utf-8 that needs no SMTPUTF8."""
    return "".join(c if c.isascii() else f"\\x{{{ord(c):X}}}" for c in address)


def is_orcpt(text):
    """Whether text may stand after `ORCPT=` ([R-con-02])."""
    if _ORCPT.fullmatch(text):
        return len(text) <= MAX_ORCPT
    match = _UTF_8_ORCPT.fullmatch(text)
    return (
        match is not None
        and all(map(_may_be_escaped, _ESCAPE.findall(match[1])))
        and len(_in_ascii(text)) <= MAX_ORCPT
    )


def same_mailbox(one, other):
    """Equal local parts, octet by octet, and equal identities of the domains ([R-uns-03], [R-id-01])."""
    identity = identity_of_mailbox(one)
    return (
        identity is not None
        and identity == identity_of_mailbox(other)
        and one.rpartition("@")[0] == other.rpartition("@")[0]
    )
