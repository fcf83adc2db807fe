"""As much of RFC 5322 and RFC 2045 as finding the sealed part takes: fields, parameters, parts."""

import re
from dataclasses import dataclass
from urllib.parse import unquote

CRLF = b"\r\n"
_FIELD = re.compile(rb"([\x21-\x39\x3b-\x7e]+)[ \t]*:(.*)", re.DOTALL)
_TOKEN = re.compile(r"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]+")
# An unquoted value may hold what is no token beside ([R-car-04]): people write boundaries and file names so.
_VALUE = re.compile(r'[^\x00-\x20\x7f;"()]+')


@dataclass(frozen=True)
class Entity:
    """A message or a part: its fields, and where its body stands in the whole message.

    `complete` says whether an empty line ends the header.
    """

    fields: tuple
    start: int
    end: int
    complete: bool

    def all(self, name):
        """The unfolded values of every field of this name, in lower case."""
        return [value for field, value in self.fields if field == name]

    def only(self, name, absent):
        """The value of the one field of this name; `absent` if there is none, and "" if there are several."""
        values = self.all(name)
        return (values[0] if len(values) == 1 else "") if values else absent


def read_entity(data, start, end):
    """The entity that begins at `start`: a header, an empty line, a body.

    A line that is no field ends the header too, and belongs to the body (compare [R-uns-06]).
    """
    fields, position, complete = [], start, False
    while position < end:
        stop = data.find(CRLF, position, end)
        line_end, after = (end, end) if stop < 0 else (stop, stop + 2)
        line = data[position:line_end]
        if not line:
            position, complete = after, True
            break
        if line[:1] in b" \t" and fields:
            fields[-1] = (fields[-1][0], fields[-1][1] + line)
        elif match := _FIELD.fullmatch(line):
            fields.append((match[1], match[2]))
        else:
            break
        position = after
        # The line end of a delimiter that follows at once is an empty line too: a part without body.
        complete = stop >= 0 and after == end
    decoded = tuple((name.decode("ascii").lower(), value.decode("utf-8", "surrogateescape")) for name, value in fields)
    return Entity(decoded, position, end, complete)


def header_length(data, start, end):
    """Octets of the header block of a part, with the empty line, which alone ends it ([R-car-09])."""
    if data.startswith(CRLF, start):
        return len(CRLF)
    stop = data.find(CRLF + CRLF, start, end)
    return (end if stop < 0 else stop + 4) - start


class _Scanner:
    """Reads a structured field, over white space and comments."""

    def __init__(self, text):
        self.text = text
        self.position = 0
        self.broken = False
        self.skip()

    def skip(self):
        """Past white space and comments."""
        depth = 0
        while self.position < len(self.text):
            c = self.text[self.position]
            if c == "(":
                depth += 1
            elif c == ")" and depth:
                depth -= 1
            elif c == "\\" and depth:
                self.position += 1
            elif not depth and c not in " \t":
                return
            self.position += 1
        self.broken = self.broken or depth > 0

    def at_end(self):
        """Whether nothing is left."""
        return self.position >= len(self.text) and not self.broken

    def literal(self, c):
        """Takes one character if it stands here."""
        if self.text[self.position : self.position + 1] != c:
            return False
        self.position += 1
        self.skip()
        return True

    def token(self, pattern=_TOKEN):
        """Takes a token, or None."""
        match = pattern.match(self.text, self.position)
        if match is None:
            return None
        self.position = match.end()
        self.skip()
        return match[0]

    def quoted(self):
        """Takes a quoted string, or None."""
        if self.text[self.position : self.position + 1] != '"':
            return None
        value, i = "", self.position + 1
        while i < len(self.text) and self.text[i] != '"':
            if self.text[i] == "\\":
                i += 1
            value += self.text[i : i + 1]
            i += 1
        if i >= len(self.text):
            return None
        self.position = i + 1
        self.skip()
        return value


def _parameters(scanner):
    """The parameters to the end of the field, but for those that stand twice; None if they are not of their grammar."""
    found, twice = {}, set()
    while scanner.literal(";"):
        while scanner.literal(";"):
            pass
        if scanner.at_end():
            break
        name = scanner.token()
        if name is None or not scanner.literal("="):
            return None
        value = scanner.quoted()
        value = scanner.token(_VALUE) if value is None else value
        if value is None:
            return None
        name = name.lower()
        if name in found:
            twice.add(name)
        found[name] = value
    found = {name: value for name, value in found.items() if name not in twice}
    return _extended(found) if scanner.at_end() else None


def _extended(found):
    """Joins continuations and decodes extended values (RFC 2231)."""
    for name in {name.partition("*")[0] for name in found if "*" in name}:
        if f"{name}*" in found:
            pieces = [f"{name}*"]
        else:
            pieces = []
            while piece := next((p for p in (f"{name}*{len(pieces)}", f"{name}*{len(pieces)}*") if p in found), None):
                pieces.append(piece)
        value = ""
        for number, piece in enumerate(pieces):
            text = found[piece]
            if piece.endswith("*"):
                text = unquote(text.split("'", 2)[-1] if number == 0 else text)
            value += text
        if pieces:
            found[name] = value
    return found


def content_type(entity):
    """Media type in lower case, and parameters; text/plain without the field, "" if it is not to be understood."""
    value = entity.only("content-type", None)
    if value is None:
        return "text/plain", {}
    scanner = _Scanner(value)
    names = [scanner.token()]
    if scanner.literal("/"):
        names.append(scanner.token())
    parameters = None if None in names else _parameters(scanner)
    return ("", {}) if parameters is None else ("/".join(names).lower(), parameters)


def disposition_parameters(entity):
    """Parameters of Content-Disposition."""
    scanner = _Scanner(entity.only("content-disposition", ""))
    return (_parameters(scanner) or {}) if scanner.token() else {}


def transfer_encoding(entity):
    """Content-Transfer-Encoding in lower case; "" if it is not to be understood."""
    scanner = _Scanner(entity.only("content-transfer-encoding", "7bit"))
    name = scanner.token()
    return name.lower() if name and _parameters(scanner) is not None else ""


def parts(data, entity, boundary):
    """The parts of a multipart body, as (start, end); a missing last delimiter is forgiven ([R-car-06])."""
    delimiter = re.compile(
        rb"(?:\A|\r\n)--" + re.escape(boundary.encode("utf-8", "surrogateescape")) + rb"(--)?[ \t]*(?=\r\n|\Z)"
    )
    body, begin = data[entity.start : entity.end], None
    for match in delimiter.finditer(body):
        if begin is not None:
            yield entity.start + begin, entity.start + max(begin, match.start())
        if match[1]:
            return
        begin = min(len(body), match.end() + 2)
    if begin is not None:
        yield entity.start + begin, entity.end
