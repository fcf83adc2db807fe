"""The length that a content is padded to ([R-con-05])."""

MINIMUM = 4096


def padme(length):
    """`P`: the least multiple of 2^z not below the length, z = E - S."""
    e = length.bit_length() - 1
    s = e.bit_length()
    z = e - s
    return -(-length // (1 << z)) << z


def padded_length(length):
    """The length of a content that has `length` octets without padding."""
    return padme(max(length, MINIMUM))
