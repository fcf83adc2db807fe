"""Carriers unsealed and refused: every check of [R-uns-01] that needs no next hop."""

from mta_seal_py.tasks import b64
from mta_seal_py.wire import uint
from mta_seal_py.wire import vector as wire_vector

from ..envelopes import MESSAGE, Forgery
from ..parties import NOW, WINDOW, A, B, in_json, own_keys, published
from ..vector import vector


def task(carrier, recipients=("v@b.example",), **changes):
    """The input of a vector."""
    return {
        "carrier": b64(carrier),
        "own_keys": [own_keys(B)],
        "records": in_json(published(A)[:1]),
        "now": NOW,
        "window": WINDOW,
        "recipients": None if recipients is None else list(recipients),
        "claims": [],
        **changes,
    }


class Subject:
    """Collects the vectors of one subject."""

    def __init__(self):
        self.made = []

    def _add(self, name, requirements, comment, refused, twin, suite, change, given):
        forgery = Forgery(name, suite)
        change(forgery)
        carrier = given.pop("carrier", None) or Forgery.carrier
        task_of = {key: value(forgery) if callable(value) else value for key, value in given.items()}
        made = vector("unseal", name, requirements, comment, task(carrier(forgery), **task_of), refused, twin)
        self.made.append(made)

    def done(self, name, requirements, comment, suite=1, change=lambda forgery: None, **given):
        """One that is unsealed."""
        self._add(f"unseal/done/{name}", requirements, comment, None, None, suite, change, given)

    def refused(self, name, requirements, comment, refused, change=lambda f: None, twin="plain", suite=1, **given):
        """One that is refused: `refused` is (stage, failure)."""
        self._add(f"unseal/refused/{name}", requirements, comment, refused, f"unseal/done/{twin}", suite, change, given)


def setting(**changes):
    """A change of a forgery that sets parts or fields."""
    return lambda forgery: forgery.set(**changes)


def block(data):
    """A block, or the end of the blocks."""
    return wire_vector(data, 0, 65535)


def with_header(fields):
    """The message with other fields in front."""
    return fields + MESSAGE


def with_header_of(octets):
    """The same, so that its header block has so many octets."""
    fields, rest = b"X-Filler: " + b"x" * 60 + b"\r\n", MESSAGE.index(b"\r\n\r\n") + 4
    count, left = divmod(octets - rest, len(fields))
    return with_header(b"X: " + b"y" * (left - 5) + b"\r\n" + fields * count)


def by(authors):
    """A message with this field From:."""
    return f"From: {authors}\r\nTo: v@b.example\r\nSubject: hello\r\n\r\nHello.\r\n".encode()


# From: fields that are not one author of a.example.
UNALIGNED = (
    ("other", "u@z.example", "The author is of another domain."),
    ("subdomain", "u@x.a.example", "The author is of a subdomain."),
    ("second", "u@a.example, w@a.example", "Two authors."),
    ("group", "us: u@a.example;", "A group."),
    ("twice", "u@a.example\r\nFrom: w@a.example", "Two fields From:."),
    ("unended", "<u@a.example", "The angle bracket does not end."),
    ("name-unquoted", "w@z.example <u@a.example>", "A display name with an @ that is not quoted."),
    ("encoded-brackets", "=?utf-8?Q?=3Cw=40z.example=3E?= <u@a.example>", "An encoded word hides angle brackets."),
    ("encoded-comma", "=?utf-8?Q?w=40z.example=2C?= <u@a.example>", "An encoded word hides an address and a comma."),
    ("local-part-at", '"w@z.example"@a.example', "The local part has an @."),
    ("local-part-encoded", "=?utf-8?Q?w=40z.example=00?=@a.example", "The local part is an encoded word."),
)


def extension(kind, critical, value=b""):
    """One encoded extension of any form."""
    return uint(kind, 2) + uint(critical, 1) + wire_vector(value, 0, 2**16 - 1)


def claimed_by_delivery(forgery):
    """The delivery of the same message to v@b.example, remembered under its delivery id."""
    delivery_id = b64(forgery.fields["delivery_id"])
    return [{"sender_domain": A.domain, "delivery_id": delivery_id, "recipient": "v@b.example"}]
