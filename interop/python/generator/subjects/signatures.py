"""Strict signatures ([R-sig-01]): every way in which verifiers of Ed25519 are known to differ.

Beside changed octets, all of these are made so that the cofactorless equation holds, or another one that some verifier
checks: a refusal has its one reason. Points are `scalar * BASE + T_i`, and `T_i` is `i` times a fixed point of order 8.
"""

import hashlib
from dataclasses import dataclass

from mta_seal_py import ed25519
from mta_seal_py.ed25519 import ORDER, P
from mta_seal_py.tasks import b64

from ..parties import A, B
from ..points import BASE, add, compress, multiply, torsion
from ..randomness import octets
from ..vector import vector

SIGN = 1 << 255
TORSION = torsion()
ORDER_OF = (1, 8, 4, 8, 2, 8, 4, 8)


def _encoded(y):
    return y.to_bytes(32, "little")


def _lenient(encoding):
    """Which of the points of small order a decoder finds that asks for no canonical encoding."""
    value = int.from_bytes(encoding, "little")
    y = value % SIGN % P
    by_sign = [i for i, point in enumerate(TORSION) if point[1] == y and point[0] & 1 == value >> 255]
    return next(iter(by_sign or [i for i, point in enumerate(TORSION) if point[1] == y]))


# By name: the encodings of points of small order that are not canonical, and which point it is.
OTHER = {
    name: (_encoded(value), _lenient(_encoded(value)))
    for name, value in (
        ("p", P),
        ("p-signed", P | SIGN),
        ("p-plus-1", P + 1),
        ("p-plus-1-signed", P + 1 | SIGN),
        ("one-signed", 1 | SIGN),
        ("minus-one-signed", P - 1 | SIGN),
    )
}


def _hash(r, public, message):
    return int.from_bytes(hashlib.sha512(r + public + message).digest(), "little")


def _residue(challenge, a, r):
    """The order of `R + kA - SB` for points with these parts of small order."""
    return ORDER_OF[(r + challenge * a) % 8]


HOLDS = frozenset({1})
COFACTOR = frozenset({2, 4, 8})
ANY = HOLDS | COFACTOR


class Impossible(Exception):
    """No message makes the signature what it is to be."""


@dataclass
class Forged:
    """A signature in the making: `a` and `r` are the parts of small order of A and R; `small`: they have no other."""

    name: str
    a: int = 0
    r: int = 0
    a_small: bool = False
    r_small: bool = False
    a_encoding: bytes = b""
    r_encoding: bytes = b""
    # Orders of what the equation lacks: with the hash as it should be, that of canonical encodings, and unreduced.
    residue: frozenset = HOLDS
    reencoded: frozenset = ANY
    unreduced: frozenset = ANY

    def _point(self, purpose, small, part):
        scalar = 0 if small else int.from_bytes(octets(self.name, purpose, 32), "little") % ORDER
        return scalar, compress(add(multiply(scalar, BASE), TORSION[part]))

    def made(self):
        """Public key, message, signature; S is for the hash of canonical encodings if something is asked of that."""
        a, a_canonical = self._point("secret", self.a_small, self.a)
        r, r_canonical = self._point("nonce", self.r_small, self.r)
        key, r_octets = self.a_encoding or a_canonical, self.r_encoding or r_canonical
        for number in range(1000):
            message = f"message {number}".encode()
            hashed = _hash(r_octets, key, message)
            canonical = _hash(r_canonical, a_canonical, message) % ORDER
            lacking = [_residue(challenge, self.a, self.r) for challenge in (hashed % ORDER, canonical, hashed)]
            if all(map(frozenset.__contains__, (self.residue, self.reencoded, self.unreduced), lacking)):
                challenge = hashed % ORDER if self.reencoded == ANY else canonical
                return key, message, r_octets + _encoded((r + challenge * a) % ORDER)
        raise Impossible(self.name)


def _one(name, made, comment, twin=None):
    key, message, signature = made
    result = "done" if twin is None else "refused"
    return vector(
        "signature",
        f"signature/{result}/{name}",
        "R-sig-01",
        comment,
        {"public_key": b64(key), "message": b64(message), "signature": b64(signature)},
        twin and ("signature", "none"),
        twin and f"signature/done/{twin}",
    )


def _done(name, comment, **how):
    return _one(name, Forged(f"signature/done/{name}", **how).made(), comment)


def _refused(name, comment, twin="plain", **how):
    return _one(name, Forged(f"signature/refused/{name}", **how).made(), comment, twin)


def _plain():
    seed = A.signing[0]
    key, message = ed25519.public_key(seed), b"a message"
    good = ed25519.sign(seed, message)
    yield _one("plain", (key, message, good), "A good signature.")
    yield _one("empty-message", (key, b"", ed25519.sign(seed, b"")), "Of no octets.")
    yield _one("message", (key, b"a massage", good), "Another message.", "plain")
    yield _one("key", (ed25519.public_key(B.signing[0]), message, good), "Another key.", "plain")
    yield _one("key-short", (key[:-1], message, good), "A key of 31 octets.", "plain")
    yield _one("key-long", (key + b"\0", message, good), "A key of 33 octets.", "plain")
    yield _one("key-off-curve", (_encoded(2), message, good), "A is not on the curve: y = 2.", "plain")
    for name, at in (("r", 0), ("s", 32)):
        turned = good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]
        yield _one(f"bit-of-{name}", (key, message, turned), f"A bit of {name.upper()}.", "plain")
    yield _one("sign-of-r", (key, message, good[:31] + bytes([good[31] ^ 128]) + good[32:]), "The sign of R.", "plain")
    yield _one("r-off-curve", (key, message, _encoded(2) + good[32:]), "R is not on the curve: y = 2.", "plain")
    yield _one("r-wide", (key, message, _encoded(P + 3) + good[32:]), "R with y = p + 3: on the curve.", "plain")
    yield _one("short", (key, message, good[:-1]), "63 octets.", "plain")
    yield _one("long", (key, message, good + b"\0"), "65 octets.", "plain")
    s = int.from_bytes(good[32:], "little")
    # Up to what 32 octets hold. The last three set one of the three highest bits, at which some verifiers look alone.
    for times in (1, 2, 4, 8, 15):
        name = "s-plus-order" if times == 1 else f"s-plus-{times}-orders"
        wide = good[:32] + _encoded(s + times * ORDER)
        text = "S plus the group order." if times == 1 else f"S plus {times} times the group order."
        yield _one(name, (key, message, wide), f"{text} The equation holds.", "plain")


def _accepted():
    for i in (1, 2, 4):
        text = f"A has a part of order {ORDER_OF[i]}, which the equation cancels: such a key is not refused."
        yield _done(f"mixed-a-order-{ORDER_OF[i]}", text, a=i, unreduced=HOLDS)
    for i in (1, 2, 4):
        text = f"A has a part of order 8 and R one of order {ORDER_OF[i]}, which the equation cancels."
        yield _done(f"mixed-r-order-{ORDER_OF[i]}", text, a=1, r=i, unreduced=HOLDS)
    text = "A has a part of order 8, which the equation cancels once the hash is reduced modulo the group order."
    yield _done("hash-reduced", text, a=1, unreduced=COFACTOR)


def _small():
    for i in range(8):
        text = f"A is of small order {ORDER_OF[i]}, R is not, and the equation holds."
        yield _refused(f"a-small-{i}", text, "mixed-a-order-8", a=i, a_small=True)
    for name, (encoding, i) in OTHER.items():
        text = f"A is of small order {ORDER_OF[i]} and not canonical, R is neither, and the equation holds."
        yield _refused(f"a-{name}", text, "mixed-a-order-8", a=i, a_small=True, a_encoding=encoding)
    for i in range(8):
        text = f"R is of small order {ORDER_OF[i]}, A has a part of order 8, and the equation holds."
        yield _refused(f"r-small-{i}", text, "mixed-r-order-8", a=1, r=i, r_small=True)
    for name, (encoding, i) in OTHER.items():
        text = f"R is of small order {ORDER_OF[i]} and not canonical, A has a part of order 8, and the equation holds."
        yield _refused(f"r-{name}", text, "mixed-r-order-8", a=1, r=i, r_small=True, r_encoding=encoding)
    text = "R is the neutral element, A has no part of small order, and the equation holds."
    yield _refused("r-neutral", text, r_small=True)
    for i in range(8):
        text = f"A and R are one point, of small order {ORDER_OF[i]}; S is 0, and the equation holds."
        yield _refused(f"both-small-{i}", text, "mixed-r-order-8", a=i, r=i, a_small=True, r_small=True)
    for name, (encoding, i) in OTHER.items():
        text = f"A and R are one point, of small order {ORDER_OF[i]}, not canonical; S is 0, and the equation holds."
        parts = {"a": i, "r": i, "a_small": True, "r_small": True, "a_encoding": encoding, "r_encoding": encoding}
        yield _refused(f"both-{name}", text, "mixed-r-order-8", **parts)


def _cofactor():
    only = "the equation holds only if both sides are multiplied by the cofactor."
    for i in (1, 2, 4):
        order = ORDER_OF[i]
        twin = f"mixed-a-order-{order}"
        lacking = frozenset({order})
        yield _refused(f"cofactor-a-{order}", f"A has a part of order {order}: {only}", twin, a=i, residue=lacking)
        yield _refused(f"cofactor-r-{order}", f"R has a part of order {order}: {only}", r=i, residue=lacking)
        text = f"A has a part of order 8 and R one of order {order}: {only}"
        yield _refused(f"cofactor-a-and-r-{order}", text, f"mixed-r-order-{order}", a=1, r=i, residue=lacking)
        text = f"A is of small order {order}: {only}"
        yield _refused(f"cofactor-a-small-{order}", text, twin, a=i, a_small=True, residue=lacking)
        text = f"R is of small order {order}: {only}"
        yield _refused(f"cofactor-r-small-{order}", text, r=i, r_small=True, residue=lacking)
    text = "A has a part of order 8, which the equation cancels unless the hash is reduced modulo the group order."
    yield _refused("hash-not-reduced", text, "hash-reduced", a=1, residue=COFACTOR, unreduced=HOLDS)


# By name: what A or R is, whether it has a part of small order, whether it has no other, and its encoding. The part of
# A is of order 8 and that of R of order 2, so that one can cancel the other; but of order 2 in that one encoding.
POINTS = {
    "plain": ("has no part of small order", False, False, b""),
    "mixed": ("has a part of small order", True, False, b""),
    "neutral": ("is the neutral element", False, True, b""),
    "small": ("is another point of small order", True, True, b""),
    "neutral-other": ("is the neutral element in another encoding", False, True, OTHER["p-plus-1"][0]),
    "small-other": ("is the point of order 2 in another encoding", True, True, OTHER["minus-one-signed"][0]),
}
# By name: which equation holds, and what it lacks, with the hash as it should be and with that of canonical encodings.
EQUATIONS = {
    "exact": ("the equation holds", HOLDS, ANY),
    "cofactor": ("the equation holds only if both sides are multiplied by the cofactor", COFACTOR, ANY),
    "exact-rehashed": ("the equation holds only if canonical encodings are hashed", COFACTOR, HOLDS),
    "cofactor-rehashed": ("the equation holds only by canonical encodings and cofactor", COFACTOR, COFACTOR),
}


def _classes():
    """Each kind of A with each kind of R and each equation that is possible for them."""
    for a_name, (a_text, a_part, a_small, a_encoding) in POINTS.items():
        for r_name, (r_text, r_part, r_small, r_encoding) in POINTS.items():
            a, r = a_part * (4 if a_encoding else 1), r_part * 4
            for name, (text, residue, reencoded) in EQUATIONS.items():
                rehashed = reencoded != ANY
                if rehashed and not (a_encoding or r_encoding):
                    continue
                accepted = name == "exact" and not (a_small or r_small)
                made = f"a-{a_name}-r-{r_name}-{name}"
                # The scalar part of R, or of A, differs by the hash already.
                lacking = ANY if rehashed and not a_small else residue
                full = f"signature/{'done' if accepted else 'refused'}/{made}"
                parts = Forged(full, a, r, a_small, r_small, a_encoding, r_encoding, lacking, reencoded)
                try:
                    forged = parts.made()
                except Impossible:
                    continue
                yield _one(made, forged, f"A {a_text}, R {r_text}, and {text}.", None if accepted else "plain")


def vectors():
    """All of them."""
    for some in (_plain, _accepted, _small, _cofactor, _classes):
        yield from some()
