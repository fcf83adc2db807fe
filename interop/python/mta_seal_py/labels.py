"""The labels of [R-lab-01]: the first field of every structure that is hashed, signed or derived from."""

from .wire import vector

SEALING_KEY_ID = b"mta-seal/1 sealing-key-id"
SIGNING_KEY_ID = b"mta-seal/1 signing-key-id"
IDENTITY = b"mta-seal/1 identity"
POLICY = b"mta-seal/1 policy"
ROLLOVER = b"mta-seal/1 rollover"
CONTENT_KEY = b"mta-seal/1 content-key"
ENVELOPE_ID = b"mta-seal/1 envelope-id"
BODY = b"mta-seal/1 body"
OPENING = b"mta-seal/1 opening"
CLOSING = b"mta-seal/1 closing"


def labelled(label, *fields):
    """A structure: `opaque label<1..255>`, then fields that are encoded already."""
    return vector(label, 1, 255) + b"".join(fields)
