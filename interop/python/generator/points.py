"""Arithmetic on the points of Ed25519, for keys and signatures that nobody should make."""

from mta_seal_py.ed25519 import ORDER, D, P, decompress


def add(one, other):
    """Sum of two points."""
    (x1, y1), (x2, y2) = one, other
    t = D * x1 * x2 % P * y1 % P * y2 % P
    return (x1 * y2 + x2 * y1) * pow(1 + t, -1, P) % P, (y1 * y2 + x1 * x2) * pow(1 - t, -1, P) % P


def _add_extended(one, other):
    """The same with T = XY/Z beside X, Y and Z, so that nothing is divided (RFC 8032, section 5.1.4)."""
    (x1, y1, z1, t1), (x2, y2, z2, t2) = one, other
    a, b = (y1 - x1) * (y2 - x2), (y1 + x1) * (y2 + x2)
    c, d = 2 * D * t1 * t2, 2 * z1 * z2
    e, f, g, h = (b - a) % P, (d - c) % P, (d + c) % P, (b + a) % P
    return e * f % P, g * h % P, f * g % P, e * h % P


def multiply(scalar, point):
    """A multiple of a point."""
    x, y = point
    result, power = (0, 1, 1, 0), (x, y, 1, x * y % P)
    while scalar:
        if scalar & 1:
            result = _add_extended(result, power)
        power, scalar = _add_extended(power, power), scalar >> 1
    inverse = pow(result[2], -1, P)
    return result[0] * inverse % P, result[1] * inverse % P


def compress(point):
    """The canonical encoding."""
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


BASE = decompress((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def torsion():
    """The eight points of small order, as the multiples of one of order 8."""
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
