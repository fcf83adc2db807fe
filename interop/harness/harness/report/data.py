"""The report for programs: JSON, and the XML that JUnit made common."""

import json
import re
from xml.etree import ElementTree

from ..cells import BLOCKED, KNOWN, UNCLAIMED

# What XML 1.0 has no place for.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_json(run):
    """Everything, in JSON."""
    value = {
        "good": run.good,
        "about": run.line,
        "verdict": run.verdict,
        "counts": run.cells.counts(),
        "problems": run.problems(),
        "peers": [{"name": p.name, "command": p.line(), "kinds": sorted(p.kinds)} for p in run.peers],
        "cells": [vars(cell) for cell in run.cells.all],
    }
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def _clean(text):
    return _NOT_XML.sub("\ufffd", text)


def junit(run):
    """A suite for each row and column; what no cell says is a suite of its own."""
    suites = {}
    for cell in run.cells.all:
        suites.setdefault(f"{cell.row} / {cell.column}", []).append(cell)
    root = ElementTree.Element("testsuites", name="interop")
    for name, cells in suites.items():
        skipped = [cell for cell in cells if cell.status in (BLOCKED, KNOWN, UNCLAIMED)]
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=_clean(name),
            tests=str(len(cells)),
            failures=str(sum(cell.bad for cell in cells)),
            errors="0",
            skipped=str(len(skipped)),
        )
        for cell in cells:
            case = ElementTree.SubElement(
                suite, "testcase", classname=_clean(name), name=_clean(cell.name), time=f"{cell.seconds:.3f}"
            )
            if cell.bad:
                ElementTree.SubElement(case, "failure", type=cell.status, message=_clean(cell.detail))
            elif cell in skipped:
                ElementTree.SubElement(case, "skipped", message=_clean(f"{cell.status}: {cell.detail}"))
    others = run.complaints()
    if others:
        number = str(len(others))
        suite = ElementTree.SubElement(root, "testsuite", name="run", tests=number, failures=number, errors="0", skipped="0")
        for text in others:
            case = ElementTree.SubElement(suite, "testcase", classname="run", name=_clean(text), time="0")
            ElementTree.SubElement(case, "failure", type="run", message=_clean(text))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"
