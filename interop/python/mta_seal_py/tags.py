"""The tag list that policy and key records share ([R-rec-01], [R-rec-02], [R-rec-07])."""

import re
from dataclasses import dataclass

from .failures import RecordRefused

# A time has at most 12 digits. The draft says so of `n` only.
MAX_TIME = 10**12 - 1

_TAG = re.compile(rb"[ \t]*;[ \t]*([A-Za-z][A-Za-z0-9]{0,7})[ \t]*=[ \t]*([\x21-\x3a\x3c-\x7e]*)")
_END = re.compile(rb"[ \t]*(?:;[ \t]*)?\Z")
_NUMBER = re.compile(r"0|[1-9][0-9]*")


@dataclass(frozen=True)
class Tag:
    """One tag; `start` is where its name stands in the text."""

    name: str
    value: str
    start: int


def begins(text, version):
    """Whether a text is a record of this version at all: `v=…` and then the end, ";" or white space."""
    return text.startswith(version) and text[len(version) : len(version) + 1] in (b"", b";", b" ", b"\t")


def select(texts, version):
    """The one record of this version among the TXT records of a name, None if there is none."""
    found = [text for text in texts if begins(text, version)]
    if len(found) > 1:
        raise RecordRefused("two records")
    return found[0] if found else None


def parse(text, version, limit):
    """The tags after `v`, in order; a duplicate is an error."""
    if len(text) > limit:
        raise RecordRefused(f"record of {len(text)} octets, above {limit}")
    if not begins(text, version):
        raise RecordRefused(f"record does not begin with {version.decode()}")
    position, tags, names = len(version), [], {"v"}
    while not _END.match(text, position):
        match = _TAG.match(text, position)
        if match is None:
            raise RecordRefused(f"no tag at octet {position}")
        name = match[1].decode()
        if name in names:
            raise RecordRefused(f"duplicate tag {name}")
        names.add(name)
        tags.append(Tag(name, match[2].decode(), match.start(1)))
        position = match.end()
    return tags


def number(name, value, low, high):
    """A decimal number without sign or leading zeros ([R-rec-04])."""
    if not _NUMBER.fullmatch(value) or len(value) > 20 or not low <= int(value) <= high:
        raise RecordRefused(f"tag {name}: {value!r} is not a number from {low} to {high}")
    return int(value)
