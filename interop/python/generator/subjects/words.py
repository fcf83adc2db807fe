"""Fingerprints as words ([R-key-02])."""

from mta_seal_py import keyids
from mta_seal_py.words import COUNT, spoken

from ..parties import A, identity_public
from ..vector import vector

HALF = COUNT // 2


def vectors():
    """All of them."""
    said = spoken(keyids.fingerprint(identity_public(A)))
    words = said.split()
    done = {"plain": (said, "A fingerprint.")}
    for first in range(0, 256, HALF):
        # Each octet twice, so that its words of both lists are said.
        octets = bytes(first + place // 2 for place in range(COUNT))
        comment = f"Both words of each octet from {first:02X} to {first + HALF - 1:02X}."
        done[f"octets-from-{first:02x}"] = (spoken(octets), comment)
    done["capitals"] = (said.upper(), "All letters are capitals.")
    done["small-letters"] = (said.lower(), "None is.")
    lines = "\r\n".join("\t".join(words[at : at + 4]) for at in range(0, COUNT, 4))
    done["lines"] = (f" {lines}\n", "In lines, with tabs, and white space around.")
    for name, (text, comment) in done.items():
        yield vector("words", f"words/done/{name}", "R-key-02", comment, {"text": text})
    for name, changed, comment in (
        ("left-out", words[:6] + words[7:], "The seventh word is left out."),
        ("doubled", words[:7] + words[6:], "The seventh word is said twice."),
        ("exchanged", words[:6] + [words[7], words[6]] + words[8:], "The seventh and the eighth word are exchanged."),
        ("first-left-out", words[1:], "The first word is left out."),
        ("last-left-out", words[:-1], "The last word is left out: all others are due."),
        ("two-left-out", words[:6] + words[8:], "Two words are left out: all others are due."),
        ("one-more", [*words, words[0]], "A word is due behind the last, and too many."),
        ("unknown", words[:6] + ["tissues"] + words[7:], "A word is of no list, and begins like one."),
        ("beginning", words[:6] + [words[6][:-1]] + words[7:], "A word lacks its last letter."),
        ("comma", words[:6] + [f"{words[6]},"] + words[7:], "A comma behind a word."),
        ("joined", words[:6] + ["".join(words[6:8])] + words[8:], "No white space between two words."),
        ("none", [], "Nothing."),
    ):
        name, task = f"words/refused/{name}", {"text": " ".join(changed)}
        yield vector("words", name, "R-key-02", comment, task, ("words", "none"), "words/done/plain")
