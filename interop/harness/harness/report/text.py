"""The table on a terminal, and the Markdown of RESULTS.md."""

from ..offline import VECTORS
from .grid import VECTOR_TABLE, grids

THERE_ARE = "there are"


def _column(name):
    return name.removeprefix(f"{VECTORS} ")


def table(cells):
    """Both tables, for a terminal."""
    out = []
    for grid in grids(cells):
        head = [grid.title, *(_column(name) for name in grid.columns)]
        lines = [[row, *(_text(grid, row, column) for column in grid.columns)] for row in grid.rows]
        widths = [max(len(line[at]) for line in [head, *lines]) for at in range(len(head))]
        for line in [head, *lines]:
            first, *rest = (word.ljust(width) if not at else word.rjust(width) for at, (word, width) in enumerate(zip(line, widths)))
            out.append("  ".join([first, *rest]).rstrip())
        out.append("")
    return "\n".join(out)


def _text(grid, row, column):
    square = grid.squares.get((row, column))
    return square.text if square else ""


def _escaped(text):
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def _rows(lines):
    return "\n".join("| " + " | ".join(_escaped(word) for word in line) + " |" for line in lines)


def _there_are(cells, column):
    """How many vectors of a kind there are: each peer has a cell for each, and none has more."""
    counts = {}
    for cell in cells:
        if cell.column == column:
            counts[cell.peer] = counts.get(cell.peer, 0) + 1
    return max(counts.values())


def vector_counts(text):
    """How many vectors of each kind there were, by a report in Markdown."""
    lines = text.partition(f"## {VECTOR_TABLE}\n")[2].strip().splitlines()
    told = [[word.strip() for word in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    rows = {row[0]: row[1:] for row in told}
    return dict(zip(rows.get("", []), map(int, rows.get(THERE_ARE, []))))


def markdown(run, picture):
    """The report in Markdown; `picture` is the file of the matrix beside it."""
    out = ["# The interop matrix", "", run.line, "", f"**{run.verdict}**", "", f"![The matrix]({picture})", ""]
    for grid in grids(run.cells.all):
        out += [f"## {grid.title}", ""]
        head = ["", *(_column(name) for name in grid.columns)]
        out.append(_rows([head, ["---"] * len(head)]))
        out.append(_rows([row, *(_text(grid, row, column) for column in grid.columns)] for row in grid.rows))
        if grid.title == VECTOR_TABLE:
            out.append(_rows([[THERE_ARE, *(str(_there_are(run.cells.all, column)) for column in grid.columns)]]))
        out.append("")
    out += [
        "A number is that of cells that hold; `N/M \u2717`: some do not; `~`: known failures, or nothing to unseal; `-`: not claimed.",
        "Vectors that are missing from a number are not claimed: those of `smtp`, which the Rust peer leaves to its gateway, and those of `seal` whose randomness a peer cannot take.",
        "",
        "## Peers",
        "",
        _rows([["peer", "what it is", "kinds", "seconds"], ["---"] * 4]),
        _rows([p.name, p.about, ", ".join(sorted(p.kinds)), f"{run.seconds.get(p.name, 0):.1f}"] for p in run.peers),
        "",
    ]
    for title, found in (("What fails", run.problems()), ("Known failures", run.known_lines())):
        if found:
            out += [f"## {title}", "", *(f"- {_escaped(line)}" for line in found), ""]
    return "\n".join(out)
