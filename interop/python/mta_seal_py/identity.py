"""The identity of a domain ([R-id-01], [R-id-02])."""

import re
import unicodedata

import idna

_LABEL = rb"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_DOMAIN = re.compile(rb"%b(?:\.%b)+" % (_LABEL, _LABEL))
# UseSTD3ASCIIRules and CheckHyphens of UTS #46.
_STD3 = re.compile(r"(?!-|..--)(?:[a-z0-9-]|[^\x00-\x7f])+(?<!-)")
_JOINERS = "\u200c\u200d"
_RIGHT_TO_LEFT = ("R", "AL", "AN")


def is_identity(name):
    """Whether octets are a domain in lower-case A-labels, without trailing dot, of two labels or more.

    Labels of letters, digits, "-" and "_"; the last one is not a number, or the name would be an address.
    """
    return len(name) <= 253 and _DOMAIN.fullmatch(name) is not None and not name.rpartition(b".")[2].isdigit()


def _u_label(label):
    """A label as Unicode: what an A-label stands for, else the label itself."""
    if not label.startswith("xn--"):
        return label
    decoded = label[4:].encode("ascii").decode("punycode")
    if decoded.isascii() or idna.uts46_remap(decoded) != decoded:
        raise ValueError("label begins like an A-label and is none")
    return decoded


def _check_label(label, bidi):
    """What UTS #46 (4.1) asks of a label beside its mapping; `bidi`: the name has text from right to left."""
    if _STD3.fullmatch(label) is None:
        raise ValueError("label has ASCII that is no letter, digit or hyphen, or hyphens where none may be")
    if unicodedata.category(label[0]).startswith("M"):
        raise ValueError("label begins with a mark")
    # ContextJ: RFC 5892, A.1 and A.2.
    if not all(idna.valid_contextj(label, at) for at, c in enumerate(label) if c in _JOINERS):
        raise ValueError("label has a joiner where none may be")
    if bidi:
        idna.check_bidi(label, check_ltr=True)  # RFC 5893, section 2.


def _a_labels(domain):
    """The A-labels of a name that is not ASCII: UTS #46, not transitional, with all its checks."""
    labels = [_u_label(label) for label in idna.uts46_remap(domain).split(".")]
    bidi = any(unicodedata.bidirectional(c) in _RIGHT_TO_LEFT for label in labels for c in label)
    for label in labels:
        _check_label(label, bidi)
        yield label if label.isascii() else "xn--" + label.encode("punycode").decode("ascii")


def identity_of_domain(domain):
    """The identity of a domain as a person writes it, or None."""
    try:
        labels = [domain.lower()] if domain.isascii() else _a_labels(domain)
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
