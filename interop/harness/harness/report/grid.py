"""Rows and columns of a run, and what each square of the picture says."""

from dataclasses import dataclass

from ..cells import BLOCKED, KNOWN, PASSED, UNCLAIMED
from ..offline import SEALS, VECTORS

MATRIX, VECTOR_TABLE = "Who seals, who unseals", "Test vectors"


@dataclass(frozen=True)
class Square:
    """All cells of one row and column."""

    passed: int = 0
    bad: int = 0
    known: int = 0
    blocked: int = 0
    unclaimed: int = 0

    @property
    def colour(self):
        """The name of its colour."""
        if self.bad:
            return "bad"
        if self.known or self.blocked:
            return "known"
        return "good" if self.passed else "none"

    @property
    def text(self):
        """What stands in it: the number alone is that of passed cells, of which there are no others."""
        total = self.passed + self.bad + self.known + self.blocked
        if not total:
            return "-"
        mark = {"bad": " \u2717", "known": " ~"}.get(self.colour, "")
        return f"{self.passed}{mark}" if self.passed == total else f"{self.passed}/{total}{mark}"


def square(cells):
    """The square of these cells."""
    status = [cell.status for cell in cells]
    return Square(
        passed=status.count(PASSED),
        bad=sum(cell.bad for cell in cells),
        known=status.count(KNOWN),
        blocked=status.count(BLOCKED),
        unclaimed=status.count(UNCLAIMED),
    )


def _ordered(names):
    return list(dict.fromkeys(names))


@dataclass
class Grid:
    """A table of squares."""

    title: str
    rows: list
    columns: list
    squares: dict

    def __bool__(self):
        return bool(self.squares)


def _grid(title, cells, first=()):
    columns = _ordered([*first, *(cell.column for cell in cells)])
    columns = [name for name in columns if any(cell.column == name for cell in cells)]
    rows = _ordered(cell.row for cell in cells)
    by_place = {}
    for cell in cells:
        by_place.setdefault((cell.row, cell.column), []).append(cell)
    return Grid(title, rows, columns, {place: square(found) for place, found in by_place.items()})


def grids(cells):
    """The matrix, and the test vectors by peer and kind."""
    vectors = [cell for cell in cells if cell.column.startswith(VECTORS)]
    matrix = [cell for cell in cells if not cell.column.startswith(VECTORS)]
    # Honest rows first, then hops, then other versions, then what is hostile.
    order = {"relay": 1, "older": 2, "newer": 2, "hostile": 3}
    matrix.sort(key=lambda cell: order.get(cell.row.split(" ")[0], 0))
    found = [_grid(MATRIX, matrix, [SEALS]), _grid(VECTOR_TABLE, vectors)]
    return [grid for grid in found if grid]
