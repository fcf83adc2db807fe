"""Ed25519 with the strictness of [R-sig-01].

The library checks the cofactorless equation; what it does not promise is checked here first: canonical
encodings of A and R, neither of small order, and S below the group order.
"""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
SQRT_MINUS_1 = pow(2, (P - 1) // 4, P)


def decompress(encoding):
    """The point of a canonical encoding as (x, y), or None."""
    value = int.from_bytes(encoding, "little")
    sign, y = value >> 255, value & ((1 << 255) - 1)
    if len(encoding) != 32 or y >= P:
        return None
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if v * x * x % P != u:
        x = x * SQRT_MINUS_1 % P
        if v * x * x % P != u:
            return None
    if x == 0 and sign:
        return None
    return (P - x if x & 1 != sign else x), y


def _double(point):
    x, y = point
    xx, yy, product = x * x % P, y * y % P, D * x * x % P * y % P * y % P
    return (
        2 * x * y * pow(1 + product, -1, P) % P,
        (yy + xx) * pow(1 - product, -1, P) % P,
    )


def is_small_order(point):
    """Whether eight times the point is the neutral element."""
    for _ in range(3):
        point = _double(point)
    return point == (0, 1)


def is_good_point(encoding):
    """Canonically encoded and not of small order."""
    point = decompress(encoding)
    return point is not None and not is_small_order(point)


def verify(public_key, signature, message):
    """Whether the signature is good, as [R-sig-01] has it."""
    if len(signature) != 64 or int.from_bytes(signature[32:], "little") >= ORDER:
        return False
    if not is_good_point(public_key) or not is_good_point(signature[:32]):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def sign(seed, message):
    """A signature by the key of this 32-octet seed."""
    return Ed25519PrivateKey.from_private_bytes(seed).sign(message)


def public_key(seed):
    """The public key of a seed."""
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
