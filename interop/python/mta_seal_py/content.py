"""The content: prefix, opening signature, blocks, padding, closing signature ([R-con-03] to [R-con-06])."""

import hashlib

from . import ed25519, labels
from .failures import BlocksRefused, ClosingRefused, PaddingRefused, PrefixRefused
from .padding import padded_length
from .prefix import MAX_PREFIX
from .wire import Reader, WireError, vector

SIGNATURE = 64
MAX_BLOCK = 2**16 - 1
BLOCK = 32768


def opening_input(envelope_id, salt, commitment, prefix):
    """`OpeningInput` ([R-con-03])."""
    return labels.labelled(labels.OPENING, envelope_id, salt, commitment, vector(prefix, 1, MAX_PREFIX))


def closing_input(opening_signature, between):
    """`ClosingInput`, over all octets between the two signatures ([R-con-06])."""
    return labels.labelled(labels.CLOSING, opening_signature, hashlib.sha256(between).digest())


def blocks_of(message, size=BLOCK):
    """The blocks of a message and the empty one that ends them."""
    encoded = [vector(message[i : i + size], 1, MAX_BLOCK) for i in range(0, len(message), size)]
    return b"".join(encoded) + vector(b"", 0, MAX_BLOCK)


def blocks_length(message_length, size=BLOCK):
    """Octets of all blocks of a message of this length."""
    return message_length + 2 * (-(-message_length // size) + 1)


def build(prefix, message, sign_opening, sign_closing, block_size=BLOCK):
    """The octets of a content; the two functions turn the encoded prefix, and the closing input, into signatures."""
    head = vector(prefix, 1, MAX_PREFIX)
    opening = sign_opening(prefix)
    blocks = blocks_of(message, block_size)
    length = len(head) + 2 * SIGNATURE + len(blocks)
    between = blocks + bytes(padded_length(length) - length)
    return head + opening + between + sign_closing(closing_input(opening, between))


def split(content):
    """The encoded prefix, the opening signature, and the rest."""
    reader = Reader(content)
    try:
        return reader.vector(1, MAX_PREFIX), reader.take(SIGNATURE), reader.rest()
    except WireError as error:
        raise PrefixRefused(f"content {error}") from None


def message_of(rest, judge):
    """The message, and where its blocks end in what follows the opening signature ([R-con-04]).

    `judge` is given the octets before the form of the blocks counts, also those of a block that does not end, and whether
    the message has ended ([R-uns-01]).
    """
    reader, parts, start = Reader(rest), [], 0
    try:
        while data := reader.vector(0, MAX_BLOCK):
            parts.append(data)
            start = reader.position
    except WireError as error:
        judge(b"".join(parts) + rest[start + 2 :], False)
        raise BlocksRefused(f"blocks: {error}") from None
    judge(b"".join(parts), True)
    return b"".join(parts), reader.position


def check_padding(content_length, rest, blocks_end):
    """The padding has the exact length, and is zero ([R-con-05])."""
    # Below zero where there is no room for the closing signature: that is a wrong length, too.
    padding_length = len(rest) - SIGNATURE - blocks_end
    if content_length != padded_length(content_length - padding_length):
        raise PaddingRefused(f"content of {content_length} octets with {padding_length} of padding")
    if rest[blocks_end : blocks_end + padding_length].strip(b"\0"):
        raise PaddingRefused("padding is not zero")


def check_closing(public_key, opening_signature, rest):
    """The closing signature is by the key of the opening signature ([R-con-06])."""
    between, closing = rest[:-SIGNATURE], rest[-SIGNATURE:]
    if not ed25519.verify(public_key, closing, closing_input(opening_signature, between)):
        raise ClosingRefused("the closing signature does not verify")
