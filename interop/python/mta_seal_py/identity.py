"""The identity of a domain ([R-id-01], [R-id-02])."""

import re
import unicodedata

_LABEL = rb"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_DOMAIN = re.compile(rb"%b(?:\.%b)+" % (_LABEL, _LABEL))
_DOTS = re.compile("[.\u3002\uff0e\uff61]")
# Characters that UTS #46 keeps, where the mapping of IDNA 2003 did not.
_DEVIATIONS = {"\u00df": "\u00df", "\u1e9e": "\u00df", "\u03c2": "\u03c2"}


def is_identity(name):
    """Whether octets are a domain in lower-case A-labels, without trailing dot, of two labels or more.

    Labels of letters, digits, "-" and "_"; the last one is not a number, or the name would be an address.
    """
    return len(name) <= 253 and _DOMAIN.fullmatch(name) is not None and not name.rpartition(b".")[2].isdigit()


def _a_label(label):
    """The A-label of a label: the mapping of UTS #46 without transitional processing, in its main lines."""
    if label.isascii():
        return label.lower()
    mapped = "".join(_DEVIATIONS.get(c) or unicodedata.normalize("NFKC", c).casefold() for c in label)
    mapped = unicodedata.normalize("NFC", mapped.replace("\u00ad", ""))
    if mapped.isascii():
        return mapped
    if unicodedata.category(mapped[0]).startswith("M") or any(c in "\u200c\u200d" for c in mapped):
        raise ValueError("label begins with a mark or has a joiner")
    if any(unicodedata.category(c).startswith("C") for c in mapped):
        raise ValueError("label has a character that is none")
    return "xn--" + mapped.encode("punycode").decode("ascii")


def identity_of_domain(domain):
    """The identity of a domain as a person writes it, or None."""
    try:
        name = ".".join(map(_a_label, _DOTS.split(domain))).encode("ascii")
    except ValueError:
        return None
    return name.decode("ascii") if is_identity(name) else None


def identity_of_mailbox(mailbox):
    """The identity right of the "@", or None: no domain, or an address literal [R-id-02]."""
    _, at, domain = mailbox.rpartition("@")
    if not at or domain.startswith("["):
        return None
    return identity_of_domain(domain)
