"""Recognises a carrier and takes its envelope out ([R-car-04] to [R-car-07], [R-car-09])."""

import re

from . import envelope, mime, transfer
from .author import author as author_of
from .failures import CarrierRefused, DomainRefused, NotSealed

LOCAL_PART = "mta-seal"
MEDIA_TYPE = "application/mta-seal"
SUFFIX = ".mtaseal"
WITHIN = 65536
DEPTH = 3
MAX_HEADER = 262144
MAX_PART_HEADER = 65536
MAX_PARTS = 1000
_BOUNDARY = re.compile(r"[ -~]{0,199}[!-~]")


def _named(entity):
    """Whether a file name of the part ends as a sealed one's does."""
    names = (mime.content_type(entity)[1].get("name"), mime.disposition_parameters(entity).get("filename"))
    return any(name is not None and len(name) > len(SUFFIX) and name.lower().endswith(SUFFIX) for name in names)


class _Search:
    """Goes through the parts in their order, so that the first fault decides ([R-car-05])."""

    def __init__(self, message, outer):
        self.message = message
        self.body = outer.start
        self.parts = 0
        self.envelope = None
        self._look_at(outer, 0)

    def _look_at(self, entity, depth):
        """Looks at an entity, or at those inside multipart/mixed down to depth 3."""
        media_type, parameters = mime.content_type(entity)
        if media_type == "multipart/mixed":
            boundary = parameters.get("boundary", "")
            if depth == DEPTH or not _BOUNDARY.fullmatch(boundary):
                return
            if mime.transfer_encoding(entity) in transfer.IDENTITY:
                for start, end in mime.parts(self.message, entity, boundary):
                    self._part(start, end, depth + 1)
        elif media_type and not media_type.startswith(("multipart/", "message/")):
            self._leaf(entity, media_type == MEDIA_TYPE)

    def _part(self, start, end, depth):
        """A part, within the limits of [R-car-09]."""
        self.parts += 1
        if self.envelope is not None and self.parts > MAX_PARTS:
            raise CarrierRefused(f"more than {MAX_PARTS} parts")
        if mime.header_length(self.message, start, end) > MAX_PART_HEADER:
            if self.envelope is not None:
                raise CarrierRefused(f"a part has a header block of more than {MAX_PART_HEADER} octets")
            return
        entity = mime.read_entity(self.message, start, end)
        if entity.complete:
            self._look_at(entity, depth)

    def _leaf(self, leaf, typed):
        """A part that may be sealed."""
        if not typed and not _named(leaf):
            return
        if self.envelope is None and leaf.start - self.body >= WITHIN:
            return
        text, encoding = self.message[leaf.start : leaf.end], mime.transfer_encoding(leaf)
        if transfer.has_magic(text, encoding):
            if self.envelope is not None:
                raise CarrierRefused("more than one sealed part", "two-parts")
            self.envelope = transfer.decode(text, encoding, leaf.end < len(self.message))
        elif typed:
            raise CarrierRefused("the media type is there, but not the magic")


def find(message, own_domains=None):
    """The envelope in a carrier, parsed.

    `own_domains` None: any domain will do. Raises NotSealed for ordinary mail.
    """
    outer = mime.read_entity(message, 0, len(message))
    if outer.start > MAX_HEADER:
        raise CarrierRefused(f"header block of more than {MAX_HEADER} octets", "header-too-large")
    author = author_of(outer)
    if author is None or author[0] != LOCAL_PART:
        raise NotSealed("From: is not mta-seal@ of some domain")
    octets = _Search(message, outer).envelope
    if octets is None:
        raise NotSealed("no sealed part")
    parsed = envelope.parse(octets)
    if own_domains is not None and parsed.header.recipient_domain not in own_domains:
        raise DomainRefused(f"sealed to {parsed.header.recipient_domain}")
    return parsed
