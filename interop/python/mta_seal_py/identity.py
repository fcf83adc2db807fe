"""The identity of a domain ([R-id-01], [R-id-02])."""

import re

_LABEL = rb"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rb"%b(?:\.%b)+" % (_LABEL, _LABEL))


def is_identity(name):
    """Whether octets are a domain in lower-case A-labels, without trailing dot, of two labels or more."""
    return len(name) <= 253 and _DOMAIN.fullmatch(name) is not None


def identity_of_domain(domain):
    """The identity of a domain as a person writes it, or None.

    The draft does not say by which rules U-labels become A-labels; this uses Python's (IDNA 2003).
    """
    try:
        name = domain.encode("ascii") if domain.isascii() else domain.encode("idna")
    except (UnicodeError, ValueError):
        return None
    name = name.lower()
    return name.decode("ascii") if is_identity(name) else None


def identity_of_mailbox(mailbox):
    """The identity right of the "@", or None: no domain, or an address literal [R-id-02]."""
    _, at, domain = mailbox.rpartition("@")
    if not at or domain.startswith("["):
        return None
    return identity_of_domain(domain)
