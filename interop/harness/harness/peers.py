"""The peers and the known failures: `peers.toml`, `known_failures.toml`."""

import fnmatch
import re
import shlex
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

DEFAULT_TIMEOUT = 120


class BadList(Exception):
    """A list that cannot be used; the harness ends before anything has run."""


@dataclass(frozen=True)
class Peer:
    """One implementation, or one that misbehaves on purpose."""

    name: str
    command: tuple
    kinds: frozenset
    timeout: float = DEFAULT_TIMEOUT
    needs: tuple = ()
    build: tuple = ()
    refused: dict | None = None  # stage and failure with which everything that it has sealed must be refused
    unsealed: bool = False  # it seals otherwise than this version has it, and what it has sealed must be unsealed
    about: str = ""

    @property
    def hostile(self):
        """Whether it seals what must not be unsealed."""
        return self.refused is not None

    @property
    def other(self):
        """Whether it seals otherwise than this version has it, and so only few messages."""
        return self.hostile or self.unsealed

    def missing(self):
        """Files without which it cannot run."""
        return [path for path in self.needs if not Path(path).exists()]

    def line(self):
        """Its command, to copy."""
        return shlex.join(self.command)


@dataclass
class Known:
    """A cell that is known to fail."""

    peer: str
    cell: str
    reason: str
    matched: int = field(default=0, compare=False)

    def covers(self, cell):
        """Whether it is about this cell: both patterns are those of a shell."""
        return fnmatch.fnmatchcase(cell.peer, self.peer) and fnmatch.fnmatchcase(cell.name, self.cell)


def _fill(value, places):
    return re.sub(r"\{(\w+)\}", lambda match: str(places.get(match[1], match[0])), value)


def _read(path):
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise BadList(f"{path}: {error}") from None


def _peer(entry, places, path):
    allowed = {"name", "command", "kinds", "timeout", "needs", "build", "refused", "unsealed", "about"}
    if unknown := set(entry) - allowed:
        raise BadList(f"{path}: peer {entry.get('name')}: unknown {', '.join(sorted(unknown))}")
    if missing := {"name", "command", "kinds"} - set(entry):
        raise BadList(f"{path}: a peer without {', '.join(sorted(missing))}")
    words = {name: tuple(_fill(word, places) for word in entry.get(name, ())) for name in ("command", "needs", "build")}
    return Peer(
        name=entry["name"],
        kinds=frozenset(entry["kinds"]),
        timeout=entry.get("timeout", DEFAULT_TIMEOUT),
        refused=entry.get("refused"),
        unsealed=entry.get("unsealed", False),
        about=entry.get("about", ""),
        **words,
    )


def read_peers(path, places):
    """All peers; `places` are the words that stand in braces."""
    peers = [_peer(entry, places, path) for entry in _read(path).get("peer", [])]
    names = [peer.name for peer in peers]
    if twice := {name for name in names if names.count(name) > 1}:
        raise BadList(f"{path}: twice: {', '.join(sorted(twice))}")
    return peers


def read_known(path):
    """All known failures, each with its reason."""
    known = []
    for entry in _read(path).get("known", []):
        if set(entry) != {"peer", "cell", "reason"} or not entry["reason"].strip():
            raise BadList(f"{path}: an entry has peer, cell and a reason, not {', '.join(sorted(entry))}")
        known.append(Known(**entry))
    return known
