"""Lists of extensions, in the header of an envelope and in the prefix of a content ([R-env-03], [R-con-01])."""

from dataclasses import dataclass

from .wire import Reader, Truncated, WireError, uint, vector


@dataclass(frozen=True)
class Extension:
    """One extension; this version defines none."""

    type: int
    critical: int
    value: bytes


class UnknownCritical(Exception):
    """A well-formed list has an unknown critical extension: unsupported."""


def encode(extensions):
    """The whole vector."""
    return vector(
        b"".join(uint(e.type, 2) + uint(e.critical, 1) + vector(e.value, 0, 2**16 - 1) for e in extensions),
        0,
        2**16 - 1,
    )


def decode(data):
    """The list of a vector's content; its form is judged before any critical extension counts."""
    reader, found, last = Reader(data), [], -1
    while reader.position < len(data):
        try:
            one = Extension(reader.uint(2), reader.uint(1), reader.vector(0, 2**16 - 1))
        except Truncated as error:
            raise WireError(f"extension {error}") from None
        if one.critical > 1:
            raise WireError(f"extension {one.type}: critical is {one.critical}")
        if one.type <= last:
            raise WireError(f"extension {one.type} out of order")
        last = one.type
        found.append(one)
    return tuple(found)


def refuse_critical(extensions):
    """Every extension is unknown to this version."""
    for one in extensions:
        if one.critical:
            raise UnknownCritical(f"unknown critical extension {one.type}")
