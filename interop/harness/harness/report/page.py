"""The report as one HTML page, with the picture in it."""

from html import escape

from .picture import svg

STYLE = """
body { font: 15px/1.5 sans-serif; margin: 2em auto; max-width: 75em; padding: 0 1em; color: #222; background: #fff; }
svg { max-width: 100%; height: auto; } table { border-collapse: collapse; } td, th { padding: .15em .7em; text-align: left; }
tr:nth-child(even) { background: #f4f4f4; } .bad { color: #c62828; font-weight: bold; } code { white-space: pre-wrap; }
"""


def _list(title, lines):
    if not lines:
        return ""
    return f"<h2>{escape(title)}</h2>\n<ul>\n" + "\n".join(f"<li>{escape(line)}</li>" for line in lines) + "\n</ul>\n"


def _peers(run):
    rows = "\n".join(
        f"<tr><td>{escape(p.name)}</td><td>{escape(p.about)}</td><td><code>{escape(p.line())}</code></td></tr>" for p in run.peers
    )
    return f"<h2>Peers</h2>\n<table>\n<tr><th>peer</th><th>what it is</th><th>command</th></tr>\n{rows}\n</table>\n"


def _cells(run):
    rows = "\n".join(
        f"<tr{' class=bad' if c.bad else ''}><td>{escape(c.row)}</td><td>{escape(c.column)}</td><td>{escape(c.name)}</td>"
        f"<td>{escape(c.status)}</td><td>{escape(c.detail)}</td></tr>"
        for c in run.cells.all
    )
    head = "<tr><th>row</th><th>column</th><th>cell</th><th></th><th></th></tr>"
    return f"<details><summary>All {len(run.cells.all)} cells</summary>\n<table>\n{head}\n{rows}\n</table>\n</details>\n"


def page(run):
    """The whole page."""
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<meta charset="utf-8">\n<title>The interop matrix</title>\n<style>{STYLE}</style>\n'
        f"<h1>The interop matrix</h1>\n<p>{escape(run.line)}</p>\n"
        f"<p{'' if run.good else ' class=bad'}>{escape(run.verdict)}</p>\n{svg(run.cells.all, run.verdict)}"
        f"{_list('What fails', run.problems())}{_list('Known failures', run.known_lines())}{_peers(run)}{_cells(run)}</html>\n"
    )
