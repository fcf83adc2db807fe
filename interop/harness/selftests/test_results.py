"""RESULTS.md is that of the vectors that there are: a full run writes it."""

import sys
import unittest
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from harness.cells import Cell, Cells  # noqa: E402
from harness.offline import VECTORS, read_vectors  # noqa: E402
from harness.report.text import markdown, vector_counts  # noqa: E402
from harness.run import Run  # noqa: E402

ROOT = HERE.parents[2]
AGAIN = "it is stale: make a full run (README.md)"


class Results(unittest.TestCase):
    """What is in the repository."""

    def setUp(self):
        self.text = (HERE.parent / "RESULTS.md").read_text(encoding="utf-8")

    def test_it_counts_the_vectors_that_there_are(self):
        there = Counter(one["kind"] for one in read_vectors(ROOT / "test-vectors"))
        self.assertEqual(vector_counts(self.text), dict(there), AGAIN)

    def test_the_picture_is_of_the_same_run(self):
        verdict = self.text.partition("**")[2].partition("**")[0]
        self.assertTrue(verdict)
        self.assertIn(f'aria-label="{verdict}"', (HERE.parent / "matrix.svg").read_text(encoding="utf-8"), AGAIN)


class Counts(unittest.TestCase):
    """What is read back from a report."""

    def test_they_are_those_of_the_run(self):
        cells = Cells()
        for peer, status in (("one", "passed"), ("two", "unclaimed")):
            for kind, count in (("seal", 3), ("public-keys", 2)):
                for number in range(count):
                    cells.add(Cell(peer, f"{VECTORS} {kind}", f"vector {kind}/{number}", peer, status))
        told = markdown(Run([], cells, [], whole=False), "matrix.svg")
        self.assertEqual(vector_counts(told), {"seal": 3, "public-keys": 2})

    def test_a_report_without_them_has_none(self):
        self.assertEqual(vector_counts("# The interop matrix\n"), {})


if __name__ == "__main__":
    unittest.main()
