"""The record of a listed sealing key ([R-rec-07])."""

from . import base64s, keyids, suites, tags
from .failures import RecordRefused

VERSION = b"v=MTASEALKEY1"
LIMIT = 4096


def query_name(selector, domain):
    """Where the key of a selector is published."""
    return f"{selector}._mta-seal.{domain}"


def parse(text, entry):
    """The public key, if the record is that of the policy's entry."""
    value = {tag.name: tag.value for tag in tags.parse(text, VERSION, LIMIT)}
    for name in ("k", "p"):
        if name not in value:
            raise RecordRefused(f"tag {name} is missing")
    suite = tags.number("k", value["k"], 1, 65535)
    try:
        public = base64s.decode(value["p"])
    except ValueError as error:
        raise RecordRefused(f"tag p: {error}") from None
    if suite != entry.suite or keyids.sealing_key_id(suite, public) != entry.key_id:
        raise RecordRefused("key record is of another suite or key than the policy lists")
    try:
        suites.load_public(suite, public)
    except ValueError as error:
        raise RecordRefused(f"tag p: {error}") from None
    return public


def write(suite, public):
    """The text of a key record."""
    return f"v=MTASEALKEY1; k={suite}; p={base64s.encode(public)}".encode("ascii")
