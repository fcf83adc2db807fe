"""Words that must not be seen before the unsealing gateway, and the search for them under every common encoding."""

import base64
import hashlib
import secrets

from .decoders import DECODERS, TooMuch, View

DEPTH = 3  # encodings that may lie over each other
ROOM = 64 * 2**20  # octets that are decoded in any case
TIMES = 16  # and as many times those that are searched: one base64 text makes three of it, at four offsets
GATE = 7


def make(purpose):
    """A word that stands nowhere else; it has letters that some encodings change."""
    return f"canary-{purpose}-{secrets.token_hex(8)}"


def in_xtext(word):
    """The word in xtext (RFC 3461, section 4), with more of it encoded than must be."""
    return word.replace("-", "+2D")


def _forms(word):
    """What is looked for, in letters of either case: a name in DNS, for one, loses theirs."""
    plain = word.encode()
    yield "plain", plain
    yield "xtext", in_xtext(word).encode()
    for offset in range(3):
        text = base64.b64encode(bytes(offset) + plain)
        # Characters into which octets before flow; those into which octets behind would.
        start = -(-offset * 8 // 6)
        yield "base64 of one case", text[start : (offset + len(plain)) * 8 // 6]


class Record:
    """Octets to search."""

    def __init__(self, octets):
        self._octets = octets

    def find(self, words):
        """By word: all ways in which it stands there. TooMuch if the octets cannot be searched whole."""
        forms = [(word, name, form.lower()) for word in words for name, form in _forms(word)]
        gates = {form[:GATE] for _, _, form in forms}
        found = {word: [] for word in words}
        for way, view in _views(self._octets):
            for text in view.both:
                text = text.lower()
                if not any(gate in text for gate in gates):
                    continue
                for word, name, form in forms:
                    told = " in ".join((() if name == "plain" and way else (name,)) + way[::-1])
                    if form in text and told not in found[word]:
                        found[word].append(told)
        return found

    def seen(self, word):
        """The ways in which one word stands there."""
        return self.find([word])[word]

    def any(self, words):
        """All that are seen, and how."""
        return [f"{word} ({', '.join(ways)})" for word, ways in self.find(words).items() if ways]


def _views(octets):
    """The octets, and what is in them under each encoding, and under each encoding in that, each once; with the way to it."""
    room, known = ROOM + TIMES * len(octets), set()
    level = [((), octets)]
    for depth in range(DEPTH + 1):
        below = []
        for way, one in level:
            view = View(one)
            yield way, view
            if depth == DEPTH:
                continue
            for decoder in DECODERS:
                for name, made in decoder(view):
                    digest = hashlib.blake2b(made, digest_size=16).digest()
                    if digest in known:
                        continue
                    known.add(digest)
                    room -= len(made)
                    if room < 0:
                        raise TooMuch(f"{len(octets)} octets hold too many more under encodings")
                    below.append(((*way, name), made))
        level = below


__all__ = ["DEPTH", "Record", "TooMuch", "in_xtext", "make"]
