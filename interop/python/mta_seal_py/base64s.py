"""Base64 as records have it: padded and canonical ([R-rec-04], "Conventions")."""

import base64
import binascii


def encode(data):
    """Canonical text."""
    return base64.b64encode(data).decode("ascii")


def decode(text):
    """The octets of canonical text; ValueError otherwise."""
    if isinstance(text, str):
        text = text.encode("ascii")
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from None
    if base64.b64encode(data) != text:
        raise ValueError("base64 is not canonical")
    return data


def decode_exactly(text, octets):
    """The octets of canonical text that must hold so many."""
    data = decode(text)
    if len(data) != octets:
        raise ValueError(f"base64 of {len(data)} octets, not of {octets}")
    return data
