"""TXT records in files: lines of a master file (RFC 1035, section 5), a JSON list, or the plain text of one record."""

import json
import re

_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_RECORD = re.compile(
    r'^(\S+)[ \t]+(?:\d+[ \t]+)?(?:IN[ \t]+)?(?:\d+[ \t]+)?TXT[ \t]+(\((?:[^"()]|"(?:[^"\\]|\\.)*")*\)|.*)$',
    re.MULTILINE | re.IGNORECASE,
)
_ESCAPE = re.compile(r"\\(\d{3}|.)")


def _unescape(text):
    replaced = _ESCAPE.sub(lambda m: chr(int(m[1])) if m[1].isdigit() else m[1], text)
    return replaced.encode("latin-1")


def read(text, default_name):
    """A list of (name, octets): the strings of a record joined ([R-rec-01])."""
    stripped = text.strip()
    if stripped.startswith("v="):
        return [(default_name, stripped.encode("latin-1"))]
    if stripped.startswith("["):
        return [(one["name"].rstrip(".").lower(), one["value"].encode("latin-1")) for one in json.loads(stripped)]
    return [
        (match[1].rstrip(".").lower(), b"".join(map(_unescape, _STRING.findall(match[2]))))
        for match in _RECORD.finditer(text)
    ]


def _escape(octets):
    return "".join(chr(o) if 0x20 <= o < 0x7F and o not in b'"\\' else f"\\{o:03}" for o in octets)


def write(name, text, ttl=3600):
    """One record as lines of a master file."""
    strings = [_escape(text[i : i + 255]) for i in range(0, len(text), 255)]
    return f"{name}. {ttl} IN TXT (\n" + "\n".join(f'    "{one}"' for one in strings) + " )\n"
