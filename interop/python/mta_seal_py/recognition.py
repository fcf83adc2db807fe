"""Recognises a carrier and takes its envelope out ([R-car-04] to [R-car-07])."""

from . import envelope, mime, transfer
from .failures import CarrierRefused, DomainRefused, NotSealed
from .identity import identity_of_mailbox

LOCAL_PART = "mta-seal"
MEDIA_TYPE = "application/mta-seal"
SUFFIX = ".mtaseal"
WITHIN = 65536
DEPTH = 3


def _leaves(data, entity, depth=0):
    """The entity, or those inside multipart/mixed down to depth 3."""
    if depth and not entity.complete:
        return
    media_type, parameters = mime.content_type(entity)
    if media_type == "multipart/mixed":
        if depth == DEPTH or not parameters.get("boundary") or mime.transfer_encoding(entity) not in transfer.IDENTITY:
            return
        for start, end in mime.parts(data, entity, parameters["boundary"]):
            yield from _leaves(data, mime.read_entity(data, start, end), depth + 1)
    elif media_type and not media_type.startswith(("multipart/", "message/")):
        yield entity


def _named(entity):
    """Whether a file name of the part ends as a sealed one's does."""
    names = (mime.content_type(entity)[1].get("name"), mime.disposition_parameters(entity).get("filename"))
    return any(name is not None and len(name) > len(SUFFIX) and name.lower().endswith(SUFFIX) for name in names)


def find(message, own_domains=None):
    """The envelope in a carrier, parsed.

    `own_domains` None: any domain will do. Raises NotSealed for ordinary mail.
    """
    outer = mime.read_entity(message, 0, len(message))
    author = mime.author(outer)
    if author is None or author.rpartition("@")[0] != LOCAL_PART or identity_of_mailbox(author) is None:
        raise NotSealed("From: is not mta-seal@ of some domain")
    found, wrong_magic = [], False
    for leaf in _leaves(message, outer):
        typed = mime.content_type(leaf)[0] == MEDIA_TYPE
        if not typed and not _named(leaf):
            continue
        if transfer.has_magic(message[leaf.start : leaf.end], mime.transfer_encoding(leaf)):
            found.append(leaf)
        elif typed:
            wrong_magic = True
    if len(found) + wrong_magic > 1:
        raise CarrierRefused("more than one sealed part", "two-parts")
    if wrong_magic:
        raise CarrierRefused("the media type is there, but not the magic")
    if not found or found[0].start - outer.start >= WITHIN:
        raise NotSealed("no sealed part")
    leaf = found[0]
    delimited = leaf.end < len(message)
    octets = transfer.decode(message[leaf.start : leaf.end], mime.transfer_encoding(leaf), delimited)
    parsed = envelope.parse(octets)
    if own_domains is not None and parsed.header.recipient_domain not in own_domains:
        raise DomainRefused(f"sealed to {parsed.header.recipient_domain}")
    return parsed
