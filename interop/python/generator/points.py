"""Arithmetic on the points of Ed25519, for keys and signatures that nobody should make."""

from mta_seal_py.ed25519 import ORDER, D, P, decompress


def add(one, other):
    """Sum of two points."""
    (x1, y1), (x2, y2) = one, other
    t = D * x1 * x2 % P * y1 % P * y2 % P
    return (x1 * y2 + x2 * y1) * pow(1 + t, -1, P) % P, (y1 * y2 + x1 * x2) * pow(1 - t, -1, P) % P


def multiply(scalar, point):
    """A multiple of a point."""
    result = (0, 1)
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point, scalar = add(point, point), scalar >> 1
    return result


def compress(point):
    """The canonical encoding."""
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


BASE = decompress((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def torsion():
    """The eight points of small order."""
    for value in range(2, 100):
        point = decompress(value.to_bytes(32, "little"))
        if point is None:
            continue
        generator = multiply(ORDER, point)
        if multiply(4, generator) != (0, 1):
            return [multiply(i, generator) for i in range(8)]
    raise AssertionError


def of_order_8():
    """A point of order 8."""
    return next(point for point in torsion() if multiply(4, point) != (0, 1))
