"""The blocks of the recipes in `docs/recipes`, as a reader would copy them.

Before every fenced block stands a comment that says what it is:

    <!-- file: /etc/postfix/main.cf; block: smtp -->   goes into that file; tests name it `smtp`
    <!-- run: check -->                                a command line; tests name it `check`
    <!-- show: why it is not run -->                   a drawing, an answer, a step for the vendor's console

A document with `<!-- untested -->` in it has no tests.
"""

import re
from dataclasses import dataclass

from .process import RigError

_FENCE = re.compile(
    r"^(?:<!-- (?P<kind>file|run|show): (?P<what>[^;\n]*?)(?:; block: (?P<name>\S+))? -->\n)?"
    r"```(?P<language>\S*)\n(?P<text>.*?)^```$",
    re.M | re.S,
)
UNTESTED = "<!-- untested -->"


@dataclass(frozen=True)
class Block:
    """`kind`: `file`, `run` or `show`; `what`: the path; `name`: how tests call it."""

    document: str
    kind: str
    what: str
    name: str
    text: str

    def __str__(self):
        return f"{self.document}: {self.name} ({self.what or self.kind})"


class Document:
    """One recipe; `used` fills with the blocks that tests have taken."""

    def __init__(self, path):
        self.name, self.text, self.used = path.stem, path.read_text(), set()
        self.untested = UNTESTED in self.text
        self.blocks = {}
        fences = list(_FENCE.finditer(self.text))
        if 2 * len(fences) != len(re.findall(r"^\s*```", self.text, re.M)):
            raise RigError(f"{path}: fences do not pair")
        for found in fences:
            line = self.text.count("\n", 0, found.start()) + 1
            kind, what = found["kind"], (found["what"] or "").strip()
            if not kind:
                raise RigError(f"{path}:{line}: no comment before this block says what it is")
            if kind == "show":
                continue
            name = what if kind == "run" else found["name"]
            if not name:
                raise RigError(f"{path}:{line}: the block has no name")
            if name in self.blocks:
                raise RigError(f"{path}:{line}: there is another block {name}")
            self.blocks[name] = Block(self.name, kind, what if kind == "file" else "", name, found["text"])

    def block(self, name):
        """A block by its name, which counts as tested from now on."""
        if name not in self.blocks:
            raise RigError(f"{self.name} has no block {name}; it has: {', '.join(self.blocks)}")
        self.used.add(name)
        return self.blocks[name]

    def unused(self):
        """The blocks no test has taken."""
        return [] if self.untested else [b for name, b in self.blocks.items() if name not in self.used]


class Recipes:
    """All documents of a directory, by name."""

    def __init__(self, directory):
        self.documents = {path.stem: Document(path) for path in sorted(directory.glob("*.md"))}

    def __getitem__(self, name):
        if name not in self.documents:
            raise RigError(f"no recipe {name}; there are: {', '.join(self.documents)}")
        return self.documents[name]

    def unused(self):
        return [block for document in self.documents.values() for block in document.unused()]


class Moved:
    """The substitutions of a test: what the recipes say -> what stands there in the rig.

    A number is replaced as a whole word wherever it stands (ports), other texts wherever they occur.
    """

    def __init__(self, table):
        self.table = {str(old): str(new) for old, new in table.items()}

    def __call__(self, text):
        for old, new in self.table.items():
            pattern = rf"(?<![\w.]){old}(?![\w.])" if old.isdigit() else re.escape(old)
            text = re.sub(pattern, lambda _, new=new: new, text)
        return text
