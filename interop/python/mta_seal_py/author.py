"""Whom a message comes from, as all readers see it or as any reader may ([R-uns-07])."""

import re
import unicodedata
from base64 import b64decode

from .identity import identity_of_domain

# Those of From: first.
FIELDS = ("from", "sender", "resent-from", "resent-sender")
MAX_OCTETS = 8192
MAX_ADDRESSES = 64

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.\-\x80-\U0010ffff]+")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ENCODED_WORD = re.compile(r"=\?([^?]*)\?([QBqb])\?(.*?)\?=", re.DOTALL)
_BETWEEN_WORDS = re.compile(r"(\?=)\s+(?==\?[^?]*\?[QBqb]\?)")
_AT = "@\uff20\ufe6b"


def _octets(value):
    return value.encode("utf-8", "surrogateescape")


def _content(word):
    """What an encoded word stands for (RFC 2047), however badly it is encoded."""
    charset, encoding, text = word[1].partition("*")[0], word[2].upper(), word[3]
    if encoding == "B":
        digits = re.sub(r"[^A-Za-z0-9+/]", "", text)
        octets = b64decode(digits[: len(digits) - (len(digits) % 4 == 1)] + "==")
    else:
        text = _octets(text.replace("_", " "))
        octets = re.sub(rb"=([0-9A-Fa-f]{2})", lambda pair: bytes.fromhex(pair[1].decode()), text)
    try:
        return octets.decode(charset, "replace")
    except (LookupError, ValueError):
        return octets.decode("utf-8", "replace")


def _decoded(value):
    """A value with its encoded words decoded, wherever they stand, and what these hold alone."""
    hidden = "".join(_content(word) for word in _ENCODED_WORD.finditer(value))
    return _ENCODED_WORD.sub(_content, _BETWEEN_WORDS.sub(r"\1", value)), hidden


def _misleads(value):
    """Whether a reader who decodes before he looks for the address may find another one."""
    text, hidden = _decoded(value)
    if _CONTROL.search(hidden) or re.search("[<>]", hidden):
        return True
    return sum(map(text.count, _AT)) > 1 and re.search(r'[,;:"()\\]', hidden) is not None


def _comment_end(text, at):
    """Where a comment ends, or None."""
    depth = 0
    while at < len(text):
        c = text[at]
        at += 2 if c == "\\" else 1
        depth += (c == "(") - (c == ")")
        if depth == 0:
            return at
    return None


def _tokens(text):
    """Atoms with dots, quoted strings, marks, and gaps of white space and comments; None if it is none of these."""
    found, at = [], 0
    while at < len(text):
        if text[at] in " \t":
            found.append(("gap", ""))
            at += 1
        elif text[at] == "(":
            found.append(("gap", ""))
            at = _comment_end(text, at)
            if at is None:
                return None
        elif text[at] in "<>@":
            found.append((text[at], ""))
            at += 1
        elif match := _ATOM.match(text, at):
            found.append(("atom", match[0]))
            at = match.end()
        elif match := _QUOTED.match(text, at):
            found.append(("quoted", re.sub(r"\\(.)", r"\1", match[1])))
            at = match.end()
        else:
            return None
    return found


def mailbox(value):
    """The one mailbox of a field body that all readers agree about: local part and identity, or None."""
    if len(_octets(value)) > MAX_OCTETS or _CONTROL.search(value) or _misleads(value):
        return None
    tokens = _tokens(value)
    if tokens is None:
        return None
    while tokens and tokens[-1][0] == "gap":
        tokens.pop()
    kinds = [kind for kind, _ in tokens]
    if "<" in kinds:
        begin = kinds.index("<")
        if not {"atom", "quoted", "gap"}.issuperset(kinds[:begin]) or kinds[-1] != ">":
            return None
        tokens = tokens[begin + 1 : -1]
    while "<" not in kinds and tokens and tokens[0][0] == "gap":
        tokens.pop(0)
    if [kind for kind, _ in tokens] not in (["atom", "@", "atom"], ["quoted", "@", "atom"]):
        return None
    (kind, local), _, (_, domain) = tokens
    if (kind == "atom" and "" in local.split(".")) or "@" in local or "=?" in local:
        return None
    identity = identity_of_domain(domain)
    return None if identity is None else (local, identity)


def author(entity):
    """The one author of a message: local part and identity, or None."""
    values = entity.all("from")
    return mailbox(values[0]) if len(values) == 1 else None


def _names(text):
    """What may be meant as the domain at the beginning of a text: up to a gap, or with what stands behind it."""
    joined, names, gap, at = "", [], False, 0
    while at < len(text):
        c = text[at]
        if c == "(":
            end = _comment_end(text, at)
            gap, at = True, len(text) if end is None else end
        elif c in ' \t"\\':
            gap, at = True, at + 1
        elif c.isalnum() or c in ".-_" or not c.isascii():
            if gap and joined:
                names.append(joined)
            joined, gap, at = joined + c, False, at + 1
        else:
            break
    return [*names, joined]


def _readings(name):
    """The identities that a name may be read as: whole, its ASCII alone, or what stands before another character."""
    ascii_alone = "".join(c for c in name if c.isascii())
    before = re.split(r"[^\x00-\x7f]", name)[0]
    return {identity_of_domain(one.strip(".-_")) for one in (name, ascii_alone, before)} - {None}


def _seen(value):
    """A value as a reader may see it: without control characters and what is no character."""
    text = _octets(value).decode("utf-8", "ignore")
    return "".join(c for c in text if c == "\t" or unicodedata.category(c) != "Cc")


def _claimed_anyhow(values):
    """The identities behind every `@`; None if there are too many."""
    found, addresses = set(), 0
    for value in values:
        text, hidden = _decoded(value)
        for seen in map(_seen, {value, text} if hidden else {value}):
            places = [place for place, c in enumerate(seen) if c in _AT]
            addresses += len(places)
            for place in places:
                for name in _names(seen[place + 1 :]):
                    found |= _readings(name)
    return None if addresses > MAX_ADDRESSES else found


def claimed(entity):
    """The identities that a reader may take for the author's; None: any, for no person has written so many."""
    values = {name: entity.all(name) for name in FIELDS}
    if sum(len(_octets(value)) for name in FIELDS for value in values[name]) > MAX_OCTETS:
        return None
    found, disputed = set(), []
    for name in FIELDS:
        agreed = mailbox(values[name][0]) if len(values[name]) == 1 else None
        if agreed:
            found.add(agreed[1])
        else:
            disputed += values[name]
    others = _claimed_anyhow(disputed)
    return None if others is None else found | others
