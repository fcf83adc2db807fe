"""Whole runs with toy peers: what fails a run, and how it is shown."""

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from xml.etree import ElementTree

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from harness.cells import Cell, Cells  # noqa: E402
from harness.run import Run  # noqa: E402

RUN = HERE.parent / "run"

PEER = """
[[peer]]
name = "{name}"
command = ["{python}", "{toy}", "{mode}"]
kinds = ["seal", "unseal", "padding"]
timeout = {timeout}
"""

VECTORS = {
    "subject": "toy",
    "vectors": [
        {"name": "padding/done/floor", "kind": "padding", "input": {"length": 1}, "expected": {"result": "done", "padded": 4096}},
        {"name": "padding/done/same", "kind": "padding", "input": {"length": 5000}, "expected": {"result": "done", "padded": 5000}},
        {"name": "smtp/done/any", "kind": "smtp", "input": {}, "expected": {"result": "done"}},
    ],
}


def runs(pid):
    """Whether a process runs; one that has ended and waits to be asked does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


class Runs(unittest.TestCase):
    """Each mode of the toy."""

    def setUp(self):
        self._folder = tempfile.TemporaryDirectory()
        self.addCleanup(self._folder.cleanup)
        self.folder = Path(self._folder.name)
        (self.folder / "vectors").mkdir()
        self.vectors(VECTORS)

    def vectors(self, value):
        """Other test vectors."""
        (self.folder / "vectors" / "toy.json").write_text(json.dumps(value), encoding="utf-8")

    def go(self, *modes, known="", only="al ", timeout=60, options=(), last=""):
        """Runs peers of these modes on the plain message and the vectors: exit code and report. `last` is more about the last."""
        peers = "".join(
            PEER.format(name=mode, python=sys.executable, toy=HERE / "toy.py", mode=mode, timeout=timeout) for mode in modes
        )
        (self.folder / "peers.toml").write_text(peers + last, encoding="utf-8")
        (self.folder / "known.toml").write_text(known, encoding="utf-8")
        places = ("--peers", "peers.toml", "--known", "known.toml", "--vectors", "vectors", "--target", "target")
        command = [sys.executable, RUN, "--short", "--no-live", "--only", only, *places, *options]
        self.done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        report = self.folder / "target" / "interop" / "report.json"
        self.report = json.loads(report.read_text(encoding="utf-8")) if report.exists() else None
        return self.done.returncode

    def statuses(self, row, column):
        """How the cells of a square ended."""
        return {cell["status"] for cell in self.report["cells"] if (cell["row"], cell["column"]) == (row, column)}

    def test_two_honest_peers_pass(self):
        self.assertEqual(self.go("honest", only="seal plain"), 0, self.done.stdout + self.done.stderr)
        self.assertEqual(self.statuses("honest", "honest"), {"passed"})
        self.assertIn("good", self.done.stdout)

    def test_a_lie_is_found_on_the_side_that_lies(self):
        self.assertEqual(self.go("honest", "liar", only="seal plain"), 1)
        self.assertEqual(self.statuses("honest", "liar"), {"failed"})
        self.assertEqual(self.statuses("liar", "honest"), {"passed"})
        self.assertIn("message is", self.done.stdout)

    def test_what_another_version_has_sealed_is_refused_or_unsealed(self):
        refused = 'refused = { stage = "limits", failure = "carrier-unsupported" }\n'
        for last, code, status in (("unsealed = true\n", 0, "passed"), (refused, 1, "failed")):
            with self.subTest(last):
                self.assertEqual(self.go("honest", "silent-not", last=last, only="seal plain"), code, self.done.stdout)
                self.assertEqual(self.statuses("silent-not", "honest"), {status})
                names = {cell["name"] for cell in self.report["cells"] if cell["row"] == "silent-not"}
                self.assertEqual(names, {f"{verb} plain{more}" for verb in ("seal", "unseal") for more in ("", ", suite 1")})

    def test_a_carrier_that_shows_what_is_inside_is_found(self):
        for mode, only, why in (
            ("shows-subject", "seal plain", "Subject is"),
            ("shows-to", "seal plain", "To is"),
            ("shows-date", "seal plain", "Date is"),
            ("shows-id", "seal plain", "Message-ID is"),
            ("shows-before", "seal plain", "before the first part"),
            ("shows-name", "seal plain", "the header of the sealed part is"),
            ("shows-text", "seal canaries", "(hexadecimal)"),
        ):
            with self.subTest(mode):
                self.assertEqual(self.go(mode, only=only), 1)
                self.assertEqual(self.statuses(mode, "seals"), {"failed"})
                self.assertEqual(self.statuses(mode, mode), {"blocked"})
                self.assertIn(why, self.done.stdout)

    def test_randomness_that_is_none_is_found(self):
        for mode, what in (("constant", "token"), ("constant-24", "salt"), ("constant-1120", "encapsulation")):
            with self.subTest(mode):
                self.assertEqual(self.go(mode, only="seal canaries"), 1)
                self.assertEqual(self.statuses(mode, "seals"), {"passed", "failed"})
                self.assertIn(f"its {what} is that of 'canaries', and not random", self.done.stdout)

    def test_an_envelope_id_of_something_else_is_found(self):
        self.assertEqual(self.go("wrong-id", only="seal plain"), 1)
        self.assertIn("the envelope id is not that of the carrier", self.done.stdout)

    def test_a_length_that_tells_something_is_found(self):
        self.assertEqual(self.go("shows-length", only="seal canaries"), 1)
        self.assertIn("which is of the same lengths", self.done.stdout)

    def test_canaries_are_sealed_by_the_honest(self):
        self.assertEqual(self.go("honest", only="seal canaries"), 0, self.done.stdout)
        self.assertEqual(self.statuses("honest", "honest"), {"passed"})

    def test_one_that_hangs_is_ended_with_its_children(self):
        self.assertEqual(self.go("hang", only="seal plain", timeout=2, options=("--keep", "kept")), 1)
        self.assertEqual(self.statuses("hang", "seals"), {"timed out"})
        children = [int(file.read_text()) for file in (self.folder / "kept").rglob("child")]
        self.assertTrue(children)
        for pid in children:
            self.assertFalse(runs(pid), f"{pid} still runs")

    def test_junk_is_called_junk(self):
        self.assertEqual(self.go("junk", only="seal plain"), 1)
        self.assertEqual(self.statuses("junk", "seals"), {"junk"})
        self.assertIn("result is 'perhaps'", self.done.stdout)
        self.assertIn("lines that are no results", self.done.stdout)

    def test_a_line_that_is_too_deep_is_junk(self):
        self.assertEqual(self.go("deep", only="seal plain"), 1)
        self.assertIn("junk", self.statuses("deep", "seals"))

    def test_a_second_result_is_junk(self):
        self.assertEqual(self.go("twice", only="seal plain"), 1)
        self.assertEqual(self.statuses("twice", "seals"), {"junk"})

    def test_silence_is_no_pass(self):
        for mode in ("silent", "broken"):
            self.assertEqual(self.go(mode, only="seal plain"), 1)
            self.assertEqual(self.statuses(mode, "seals"), {"unanswered"})

    def test_what_was_answered_before_a_crash_counts(self):
        self.assertEqual(self.go("crash", only="seal "), 1)
        self.assertEqual(self.statuses("crash", "seals"), {"crashed", "passed"})

    def test_what_is_claimed_and_unsupported_fails(self):
        for mode in ("unsupported", "absent"):
            self.assertEqual(self.go(mode, only="padding"), 1)
            self.assertEqual(self.statuses(mode, "vectors padding"), {"unsupported"})

    def test_what_is_not_claimed_does_not_fail(self):
        self.assertEqual(self.go("honest", only="vector "), 0, self.done.stdout)
        self.assertEqual(self.statuses("honest", "vectors smtp"), {"unclaimed"})

    def test_nobody_need_take_randomness_from_elsewhere(self):
        given = {"randomness": {"salt": "AA=="}}
        vector = {"name": "seal/done/x", "kind": "seal", "input": given, "expected": {"result": "done", "envelope": ""}}
        drawn = {**vector, "name": "seal/done/y", "input": {"randomness": None}}
        self.vectors({"vectors": [vector]})
        for mode in ("honest", "unsupported"):
            self.assertEqual(self.go(mode, only="vector "), 0, self.done.stdout)
            self.assertEqual(self.statuses(mode, "vectors seal"), {"unclaimed"})
        self.vectors({"vectors": [vector, drawn]})
        self.assertEqual(self.go("unsupported", only="vector "), 1)
        self.assertEqual(self.statuses("unsupported", "vectors seal"), {"unclaimed", "unsupported"})

    def test_a_wrong_vector_fails(self):
        wrong = json.loads(json.dumps(VECTORS))
        wrong["vectors"][0]["expected"]["padded"] = 4097
        self.vectors(wrong)
        self.assertEqual(self.go("honest", only="vector "), 1)
        self.assertIn("padded is 4096, not 4097", self.done.stdout)

    def test_a_known_failure_does_not_fail_the_run(self):
        known = '[[known]]\npeer = "liar"\ncell = "unseal *"\nreason = "it lies"\n'
        self.assertEqual(self.go("honest", "liar", known=known, only="seal plain"), 0, self.done.stdout)
        self.assertEqual(self.statuses("honest", "liar"), {"known failure"})
        self.assertIn("known liar: it lies", self.done.stdout)

    def test_a_known_failure_that_passes_fails_the_run(self):
        known = '[[known]]\npeer = "honest"\ncell = "unseal *"\nreason = "it lied once"\n'
        self.assertEqual(self.go("honest", known=known, only="seal plain"), 1)
        self.assertEqual(self.statuses("honest", "honest"), {"known failure that passes"})

    def test_a_known_failure_needs_a_reason(self):
        self.assertEqual(self.go("honest", known='[[known]]\npeer = "*"\ncell = "*"\nreason = " "\n'), 2)

    def test_nothing_tried_is_not_good(self):
        self.assertEqual(self.go("honest", only="no cell has this name"), 1)
        self.assertIn("nothing was tried", self.done.stdout)

    def test_a_peer_that_is_not_there_fails_the_run(self):
        self.assertEqual(self.go("honest", options=("--peer", "nobody")), 2)
        peers = self.folder / "peers.toml"
        peers.write_text(peers.read_text() + 'needs = ["/nonexistent/file"]\n')
        command = [sys.executable, RUN, "--short", "--no-live", "--peers", peers, "--target", "target", "--vectors", "vectors"]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("honest cannot run: no /nonexistent/file", done.stdout)

    def test_a_whole_run_asks_each_peer_for_something(self):
        """Without gateways nothing is whole; the rule is tested where it stands."""
        class Named:
            name = "idle"

        cells = Cells()
        cells.add(Cell("idle", "seals", "seal x", "idle", "unclaimed"))
        self.assertEqual(Run([Named], cells, [], whole=True).complaints(), ["idle has passed nothing"])
        cells.add(Cell("idle", "seals", "seal y", "idle", "passed"))
        self.assertTrue(Run([Named], cells, [], whole=True).good)

    def test_every_report_can_be_read(self):
        self.go("honest", "liar", only="seal plain")
        out = self.folder / "target" / "interop"
        suites = ElementTree.parse(out / "junit.xml").getroot()
        self.assertEqual(sum(int(suite.get("failures")) for suite in suites), len(self.report["problems"]))
        picture = ElementTree.parse(out / "matrix.svg").getroot()
        self.assertTrue(picture.tag.endswith("svg"))
        self.assertIn("FAILED", picture.get("aria-label"))
        self.assertIn("<svg", (out / "report.html").read_text(encoding="utf-8"))
        self.assertIn("| liar |", (out / "report.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    unittest.main()
