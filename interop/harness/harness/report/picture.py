"""The matrix as a picture: SVG, without anything from elsewhere."""

from xml.sax.saxutils import escape, quoteattr

from ..offline import VECTORS
from .grid import grids

COLOURS = {"good": "#2e7d32", "known": "#b26a00", "bad": "#c62828", "none": "#9e9e9e"}
LEGEND = (("good", "holds"), ("known", "~ known, or nothing sealed"), ("bad", "\u2717 fails"), ("none", "- not claimed"))
HEIGHT, LEFT, WIDTH, HEAD, GAP = 22, 190, 86, 96, 46
TEXT = 12


class _Drawing:
    def __init__(self):
        self.parts, self.y, self.right = [], GAP // 2, LEFT

    def text(self, x, y, text, more=""):
        """Some words."""
        self.parts.append(f'<text x="{x}" y="{y}"{more}>{escape(text)}</text>')

    def rectangle(self, x, y, width, colour, title):
        """A square, with what it is about."""
        self.parts.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{HEIGHT - 2}" rx="3" fill="{COLOURS[colour]}">'
            f"<title>{escape(title)}</title></rect>"
        )


def _draw(drawing, grid):
    drawing.text(8, drawing.y + 8, grid.title, ' font-weight="bold"')
    top = drawing.y + HEAD
    for at, column in enumerate(grid.columns):
        x = LEFT + at * WIDTH + WIDTH // 2
        name = column.removeprefix(f"{VECTORS} ")
        drawing.text(x - 14, top - 8, name, f' transform="rotate(-35 {x - 14} {top - 8})"')
    for line, row in enumerate(grid.rows):
        y = top + line * HEIGHT
        drawing.text(8, y + 15, row)
        for at, column in enumerate(grid.columns):
            square = grid.squares.get((row, column))
            if square is None:
                continue
            x = LEFT + at * WIDTH
            drawing.rectangle(x, y, WIDTH - 3, square.colour, f"{row}, {column}: {square.text}")
            drawing.text(x + WIDTH // 2, y + 15, square.text, ' text-anchor="middle" fill="#fff" pointer-events="none"')
    drawing.y = top + len(grid.rows) * HEIGHT + GAP
    drawing.right = max(drawing.right, LEFT + len(grid.columns) * WIDTH + 60)


def svg(cells, summary):
    """The picture of all tables; `summary` is for those who do not see it."""
    drawing = _Drawing()
    for grid in grids(cells):
        _draw(drawing, grid)
    for at, (colour, words) in enumerate(LEGEND):
        x = 8 + at * 200
        drawing.rectangle(x, drawing.y - 20, 18, colour, words)
        drawing.text(x + 24, drawing.y - 5, words)
    width, height = max(drawing.right, 8 + len(LEGEND) * 200), drawing.y + 20
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label={quoteattr(summary)} '
        f'width="{width}" height="{height}" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="{TEXT}">'
    )
    return "\n".join([head, f'<rect width="{width}" height="{height}" fill="#fff"/>', *drawing.parts, "</svg>", ""])
