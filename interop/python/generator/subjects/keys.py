"""Derivation, identifiers and validation of keys ([R-key-01], [R-suite-04], [R-sig-01])."""

from mta_seal_py import ed25519
from mta_seal_py.tasks import b64

from ..parties import A, B
from ..points import BASE, add, compress, multiply, of_order_8
from ..randomness import octets
from ..vector import vector

P = ed25519.P
SMALL_X25519 = {
    "0": 0,
    "1": 1,
    "p-1": P - 1,
    "p": P,
    "p-plus-1": P + 1,
    "order-8": int.from_bytes(
        bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"), "little"
    ),
    "order-8-too": int.from_bytes(
        bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"), "little"
    ),
}
SMALL_ED25519 = {
    "neutral": (1).to_bytes(32, "little"),
    "order-2": (P - 1).to_bytes(32, "little"),
    "order-4": bytes(32),
    "order-8": bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
}


def _key(name, algorithm, private):
    yield vector(
        "keys",
        f"keys/done/{name}",
        "R-key-01 R-suite-01" if algorithm != "ed25519" else "R-key-01",
        "A private key, its public key and identifiers.",
        {"algorithm": algorithm, "private_key": b64(private)},
    )


def _public(name, algorithm, public, comment, twin=None):
    result = "done" if twin is None else "refused"
    requirement = "R-sig-01" if algorithm == "ed25519" else "R-suite-04"
    yield vector(
        "public-keys",
        f"public-keys/{result}/{name}",
        f"{requirement} R-key-01" if twin is None else requirement,
        comment,
        {"algorithm": algorithm, "public_key": b64(public)},
        twin and ("public-key", "none"),
        twin and f"public-keys/done/{twin}",
    )


def _public_keys():
    x25519, xwing, signing = B.sealing[1].public, B.sealing[0].public, ed25519.public_key(A.signing[0])
    yield from _public("suite-1", "suite-1", x25519, "A good key of X25519.")
    yield from _public("suite-2", "suite-2", xwing, "A good key of X-Wing.")
    yield from _public("ed25519", "ed25519", signing, "A good key of Ed25519.")
    name = "public-keys/done/ed25519-mixed-order"
    secret = int.from_bytes(octets(name, "secret", 32), "little") % ed25519.ORDER
    mixed = compress(add(multiply(secret, BASE), of_order_8()))
    yield from _public("ed25519-mixed-order", "ed25519", mixed, "With a part of order 8, but not of small order.")
    yield from _public("suite-1-short", "suite-1", x25519[:-1], "31 octets.", "suite-1")
    yield from _public("suite-1-long", "suite-1", x25519 + b"\0", "33 octets.", "suite-1")
    for name, value in SMALL_X25519.items():
        small = value.to_bytes(32, "little")
        yield from _public(f"suite-1-small-{name}", "suite-1", small, f"Small order: u = {name}.", "suite-1")
    yield from _public("suite-2-short", "suite-2", xwing[:-1], "1,215 octets.", "suite-2")
    small = xwing[:1184] + bytes(32)
    yield from _public("suite-2-small", "suite-2", small, "The X25519 part is of small order.", "suite-2")
    modulus = b"\x01\x0d\x00" + xwing[3:]
    comment = "A coefficient of the ML-KEM part is q = 3329 (FIPS 203, section 7.2)."
    yield from _public("suite-2-modulus", "suite-2", modulus, comment, "suite-2")
    above = b"\xff\xff\xff" + xwing[3:]
    yield from _public("suite-2-above", "suite-2", above, "Two coefficients of the ML-KEM part are 4095.", "suite-2")
    yield from _public("ed25519-short", "ed25519", signing[:-1], "31 octets.", "ed25519")
    for name, point in SMALL_ED25519.items():
        yield from _public(f"ed25519-{name}", "ed25519", point, "A point of small order.", "ed25519")
    yield from _public("ed25519-off-curve", "ed25519", b"\2" + bytes(31), "y = 2 is not on the curve.", "ed25519")
    wide = (P + 3).to_bytes(32, "little")
    yield from _public("ed25519-wide", "ed25519", wide, "y = p + 3: not canonical, on the curve.", "ed25519")
    for name, value in (
        ("p", P),
        ("p-signed", P | 1 << 255),
        ("p-plus-1", P + 1),
        ("p-plus-1-signed", P + 1 | 1 << 255),
    ):
        comment = "Another encoding of a point of small order."
        yield from _public(f"ed25519-{name}", "ed25519", value.to_bytes(32, "little"), comment, "ed25519")
    negative = (1 | 1 << 255).to_bytes(32, "little")
    yield from _public("ed25519-negative-zero", "ed25519", negative, "x = 0 with its sign bit set.", "ed25519")


def vectors():
    """All of them."""
    for own in (A, B):
        label = own.domain[0]
        for key in own.sealing:
            yield from _key(f"suite-{key.suite}-of-{label}", f"suite-{key.suite}", key.seed)
        yield from _key(f"signing-of-{label}", "ed25519", own.signing[0])
        yield from _key(f"identity-of-{label}", "ed25519", own.identity)
    yield from _public_keys()
