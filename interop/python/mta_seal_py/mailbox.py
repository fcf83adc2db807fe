"""The grammar of a mailbox and of ESMTP parameter values (RFC 5321, 6531, 3461) for [R-uns-05]."""

import re

from .identity import identity_of_mailbox

# RFC 5321 has 64, but says that nobody should rely on it; the draft has 512 for the whole.
MAX_LOCAL = 255

_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\u0080-\U0010ffff]"
_DOT_STRING = rf"{_ATEXT}+(?:\.{_ATEXT}+)*"
_QUOTED = r'"(?:[\x20\x21\x23-\x5b\x5d-\x7e\u0080-\U0010ffff]|\\[\x20-\x7e])*"'
_SUB_DOMAIN = r"[A-Za-z0-9\u0080-\U0010ffff](?:[A-Za-z0-9\-\u0080-\U0010ffff]*[A-Za-z0-9\u0080-\U0010ffff])?"
_DOMAIN = rf"{_SUB_DOMAIN}(?:\.{_SUB_DOMAIN})*"
_LITERAL = r"\[[\x21-\x5a\x5e-\x7e]+\]"
_MAILBOX = re.compile(rf"(?:{_DOT_STRING}|{_QUOTED})@(?:{_DOMAIN}|{_LITERAL})")
_XTEXT = r"(?:[\x21-\x2a\x2c-\x3c\x3e-\x7e]|\+[0-9A-F]{2})"
_ENVID = re.compile(rf"{_XTEXT}+")
_ORCPT = re.compile(
    r"[A-Za-z0-9\-]+;(?:[\x21-\x2a\x2c-\x3c\x3e-\x7e\u0080-\U0010ffff]|\+[0-9A-F]{2}|\\x\{[0-9A-F]+\})+"
)


def is_mailbox(text):
    """Whether text is a `Mailbox`, in UTF-8 if need be."""
    local = text.rpartition("@")[0]
    return len(local.encode()) <= MAX_LOCAL and _MAILBOX.fullmatch(text) is not None


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
