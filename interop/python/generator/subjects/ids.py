"""What an envelope says without a key, and its identifier ([R-env-01] to [R-env-06])."""

from mta_seal_py.tasks import b64

from ..envelopes import Forgery
from ..vector import vector
from .unsealing import extension

LIMITS = ("limits", "carrier-malformed")


def _front(forgery):
    """Up to the sealed key."""
    end = len(forgery.header()) + (32 if forgery.suite == 1 else 1120) + 48
    return forgery.octets()[:end]


def _one(name, requirements, comment, refused=None, twin=None, suite=1, octets=_front, **changes):
    name = f"ids/{'refused' if refused else 'done'}/{name}"
    task = {"octets": b64(octets(Forgery(name, suite).set(**changes)))}
    return vector("ids", name, requirements, comment, task, refused, twin and f"ids/done/{twin}")


def vectors():
    """All of them."""
    yield _one("suite-1", "R-env-01 R-env-06", "Suite 1, up to the sealed key.")
    yield _one("suite-2", "R-env-01 R-env-06", "Suite 2, up to the sealed key.", suite=2)
    yield _one("whole", "R-env-06", "A whole envelope.", octets=lambda f: f.octets())
    listed = extension(1, 0) + extension(256, 0, b"y")
    yield _one("extensions", "R-env-03", "Two extensions.", header_extensions=listed)
    yield _one(
        "form-before-critical",
        "R-env-03",
        "A critical extension, and one out of order: the form of the list is judged first.",
        LIMITS,
        "extensions",
        header_extensions=extension(5, 1) + extension(4, 0),
    )
    yield _one(
        "suite-before-domain",
        "R-env-03",
        "Suite 7 and an empty recipient domain: the suite is judged first.",
        ("limits", "carrier-unsupported"),
        "suite-1",
        octets=lambda f: f.header()[:9] + b"\0\7" + f.key_id + b"\0\0\0",
    )
    yield _one(
        "domain-label-of-64",
        "R-env-04",
        "A label of 64 octets.",
        LIMITS,
        "suite-1",
        recipient_domain="a" * 64 + ".example",
    )
    for name, number in (("suite-0", b"\0\0"), ("suite-3", b"\0\3"), ("suite-65535", b"\xff\xff")):
        yield _one(
            name,
            "R-env-03 R-suite-01",
            "A suite that is not in the table.",
            ("limits", "carrier-unsupported"),
            "suite-1",
            octets=lambda f, n=number: f.header()[:9] + n + _front(f)[11:],
        )
    truncated = ("limits", "unauthentic")
    for name, end in (("cut-in-magic", 7), ("cut-in-key-id", 40), ("cut-in-domain", 50), ("cut-in-sealed-key", -1)):
        yield _one(name, "R-env-03", "Ends too early.", truncated, "suite-1", octets=lambda f, e=end: _front(f)[:e])
