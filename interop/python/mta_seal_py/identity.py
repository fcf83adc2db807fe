"""The identity of a domain ([R-id-01], [R-id-02])."""

import re
import unicodedata

_LABEL = rb"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_DOMAIN = re.compile(rb"%b(?:\.%b)+" % (_LABEL, _LABEL))
# What UTS #46 leaves of ASCII with UseSTD3ASCIIRules and CheckHyphens.
_STD3 = re.compile(r"(?!-|..--)(?:[a-z0-9-]|[^\x00-\x7f])+(?<!-)")
_DOTS = re.compile("[.\u3002\uff0e\uff61]")
# Characters that UTS #46 keeps, where the mapping of IDNA 2003 did not.
_DEVIATIONS = {"\u00df": "\u00df", "\u1e9e": "\u00df", "\u03c2": "\u03c2"}


def is_identity(name):
    """Whether octets are a domain in lower-case A-labels, without trailing dot, of two labels or more.

    Labels of letters, digits, "-" and "_"; the last one is not a number, or the name would be an address.
    """
    return len(name) <= 253 and _DOMAIN.fullmatch(name) is not None and not name.rpartition(b".")[2].isdigit()


def _a_label(label):
    """The A-label of a label of a name that is not ASCII: UTS #46, not transitional, in its main lines."""
    if label.isascii() and label[:4].lower() == "xn--":
        if _a_label(label[4:].encode("ascii").decode("punycode")) != label.lower():
            raise ValueError("label begins like an A-label and is none")
        return label.lower()
    mapped = "".join(_DEVIATIONS.get(c) or unicodedata.normalize("NFKC", c).casefold() for c in label)
    mapped = unicodedata.normalize("NFC", mapped.replace("\u00ad", ""))
    if _STD3.fullmatch(mapped) is None:
        raise ValueError("label has ASCII that is no letter, digit or hyphen, or hyphens where none may be")
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
        labels = [domain.lower()] if domain.isascii() else map(_a_label, _DOTS.split(domain))
        name = ".".join(labels).encode("ascii")
    except ValueError:
        return None
    return name.decode("ascii") if is_identity(name) else None


def identity_of_mailbox(mailbox):
    """The identity right of the "@", or None: no domain, or an address literal [R-id-02]."""
    _, at, domain = mailbox.rpartition("@")
    if not at or domain.startswith("["):
        return None
    return identity_of_domain(domain)
