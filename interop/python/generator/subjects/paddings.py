"""Lengths of contents ([R-con-05]); wrong padding is in the subject of unsealing."""

from ..vector import vector

LENGTHS = (0, 1, 4096, 4097, 4352, 4353, 8193, 65535, 65537, 1048577, 2**32 + 1)


def vectors():
    """All of them."""
    for length in LENGTHS:
        yield vector("padding", f"padding/done/{length}", "R-con-05", f"Of {length} octets.", {"length": length})
