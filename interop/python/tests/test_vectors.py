"""The test vectors: as this implementation answers them, through its peer too, and which checks they hold."""

import json
import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from jsonschema import Draft202012Validator

from generator import schema
from generator.vector import agrees
from mta_seal_py import envelope, tasks

from . import disabled

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "test-vectors"
PEER = ROOT / "interop" / "python" / "peer"
# What this implementation leaves to others: it takes no randomness.
UNSUPPORTED = {("seal", "done")}


def vectors():
    """All vectors by name."""
    files = sorted(FOLDER.glob("*.json"))
    return {one["name"]: one for path in files for one in json.loads(path.read_text("ascii"))["vectors"]}


VECTORS = vectors()


def differences(one, other):
    """The members in which the inputs of two vectors of kind `decide` differ.

    Those of a policy found and of memory count one by one; the kind of an outcome and whether it is secure are one,
    and so is a memory that is not there.
    """
    for name, mine in one.items():
        theirs = other[name]
        if name == "outcome":
            if (mine["result"], mine.get("secure")) != (theirs["result"], theirs.get("secure")):
                yield "kind"
            if mine["result"] == theirs["result"] == "found":
                yield from (member for member in ("policy", "key_records") if mine[member] != theirs[member])
        elif name == "memory" and mine and theirs:
            yield from (member for member in mine if mine[member] != theirs[member])
        elif mine != theirs:
            yield name


def leaves(one, other, at=""):
    """The places at which the inputs of two vectors differ, but for randomness, which follows from the name."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in (one.keys() | other.keys()) - {"randomness"}:
            yield from leaves(one.get(name), other.get(name), f"{at}.{name}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, (mine, theirs) in enumerate(zip(one, other)):
            yield from leaves(mine, theirs, f"{at}[{number}]")
    elif one != other:
        yield at


def supported(vector):
    """Whether this implementation is to answer it."""
    return (vector["kind"], vector["expected"]["result"]) not in UNSUPPORTED


class Answers(unittest.TestCase):
    def test_each(self):
        for name, vector in VECTORS.items():
            with self.subTest(name):
                wanted = vector["expected"] if supported(vector) else {"result": "unsupported"}
                self.assert_agrees(tasks.answer(vector["kind"], vector["input"]), wanted)

    def assert_agrees(self, answered, wanted):
        self.assertTrue(agrees(answered, wanted), f"{str(answered)[:300]}, not {str(wanted)[:300]}")

    def test_through_the_peer(self):
        with tempfile.TemporaryDirectory() as folder:
            paths = {name: os.path.join(folder, name) for name in ("MTA_SEAL_TASKS", "MTA_SEAL_RESULTS")}
            lines = ({"id": name, "kind": one["kind"], "input": one["input"]} for name, one in VECTORS.items())
            Path(paths["MTA_SEAL_TASKS"]).write_text("".join(json.dumps(line) + "\n" for line in lines), "ascii")
            subprocess.run([sys.executable, PEER, "tasks"], env={**os.environ, **paths}, check=True, timeout=300)
            lines = Path(paths["MTA_SEAL_RESULTS"]).read_text("ascii").splitlines()
        results = {result.pop("id"): result for result in map(json.loads, lines)}
        self.assertEqual(results.keys(), VECTORS.keys())
        for name, vector in VECTORS.items():
            with self.subTest(name):
                wanted = vector["expected"] if supported(vector) else {"result": "unsupported"}
                self.assert_agrees(results[name], wanted)

    def test_what_is_sealed_in_a_vector_is_what_is_opened(self):
        sealed = [one for one in VECTORS.values() if (one["kind"], one["expected"]["result"]) == ("seal", "done")]
        self.assertTrue(sealed)
        for one in sealed:
            parsed = envelope.parse(tasks.octets(one["expected"]["envelope"]))
            self.assertEqual(tasks.b64(parsed.id), one["expected"]["envelope_id"])


class Form(unittest.TestCase):
    def setUp(self):
        self.schema = json.loads((FOLDER / "schema" / "vectors.json").read_text("ascii"))

    def is_valid(self, vector):
        return Draft202012Validator(self.schema).is_valid({"subject": "x", "vectors": [vector]})

    def test_schema(self):
        Draft202012Validator.check_schema(self.schema)
        validator = Draft202012Validator(self.schema)
        for path in FOLDER.glob("*.json"):
            with self.subTest(path.name):
                errors = [error.message[:200] for error in validator.iter_errors(json.loads(path.read_text("ascii")))]
                self.assertEqual(errors, [])

    def test_a_member_more_is_an_error(self):
        good = VECTORS["padding/done/0"]
        self.assertTrue(self.is_valid(good))
        for bad in (
            {**good, "input": {"length": 0, "more": 1}},
            {**good, "expected": {"result": "done"}},
            {**good, "kind": "nothing"},
        ):
            self.assertFalse(self.is_valid(bad))

    def test_requirements_are_those_of_the_draft(self):
        self.assertEqual(schema.renewed(self.schema), self.schema)
        self.assertGreater(len(schema.requirements()), 80)
        good = VECTORS["padding/done/0"]
        for name in ("R-con-05", "R-uns-14"):
            self.assertTrue(self.is_valid({**good, "requirements": [name]}), name)
        for name in ("R-con-99", "R-xyz-01", "R-con-5", ""):
            self.assertFalse(self.is_valid({**good, "requirements": ["R-con-05", name]}), name)

    def test_stages_are_those_of_the_kind(self):
        rows = re.findall(r"^\| (`.*`) \|", (FOLDER / "README.md").read_text("utf-8"), re.MULTILINE)
        listed = {stage for row in rows for stage in re.findall("`([a-z-]+)`", row)}
        every = {stage for stages in schema.STAGES.values() for stage in stages}
        self.assertLessEqual(every, listed)
        refused = {}
        for one in VECTORS.values():
            if "twin" in one:
                refused.setdefault(one["kind"], one)
        self.assertEqual(refused.keys(), {kind for kind, stages in schema.STAGES.items() if stages})
        for kind, one in refused.items():
            for stage in every:
                changed = {**one, "expected": {**one["expected"], "stage": stage}}
                self.assertEqual(self.is_valid(changed), stage in schema.STAGES[kind], (kind, stage))

    def test_what_is_never_refused(self):
        refusal = {"result": "refused", "stage": "limits", "failure": "none"}
        for kind in ("keys", "padding"):
            one = next(one for one in VECTORS.values() if one["kind"] == kind)
            self.assertFalse(self.is_valid({**one, "twin": "x", "expected": refusal}))

    def test_numbers(self):
        refused = [one for one in VECTORS.values() if one["expected"]["result"] == "refused"]
        self.assertGreaterEqual(len(VECTORS), 150)
        self.assertGreaterEqual(3 * len(refused), 2 * len(VECTORS))
        for one in refused:
            self.assertEqual(VECTORS[one["twin"]]["expected"]["result"], "done", one["name"])
            self.assertEqual(VECTORS[one["twin"]]["kind"], one["kind"], one["name"])

    def test_a_refused_decision_differs_from_its_twin_by_the_fault_alone(self):
        refused = [one for one in VECTORS.values() if one["kind"] == "decide" and "twin" in one]
        self.assertTrue(refused)
        for one in refused:
            with self.subTest(one["name"]):
                self.assertEqual(len(list(differences(one["input"], VECTORS[one["twin"]]["input"]))), 1)

    def test_what_is_not_sealed_differs_from_its_twin_by_the_fault_alone(self):
        refused = [one for one in VECTORS.values() if one["kind"] == "seal" and "twin" in one]
        self.assertTrue(refused)
        for one in refused:
            with self.subTest(one["name"]):
                self.assertEqual(len(list(leaves(one["input"], VECTORS[one["twin"]]["input"]))), 1)


class Disabled(unittest.TestCase):
    """Without a check, the vector that holds it is no longer refused there: no other check has caught it."""

    def test_each(self):
        for check, (name, without) in disabled.CHECKS.items():
            with self.subTest(check):
                vector = VECTORS[name]
                self.assertEqual(tasks.answer(vector["kind"], vector["input"]), vector["expected"])
                with without():
                    self.assertEqual(tasks.answer(vector["kind"], vector["input"])["result"], "done")

    def test_the_list_is_that_of_the_readme(self):
        listed = {}
        for line in (FOLDER / "README.md").read_text("utf-8").splitlines():
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if len(cells) == 3 and cells[2].startswith("`unseal/"):
                listed[cells[1]] = cells[2].split("`")[1]
        self.assertEqual(listed, {check: name for check, (name, _) in disabled.CHECKS.items()})
