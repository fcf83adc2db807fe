"""Every cell of the table of the draft, and what must hold whatever the table says ([R-dec-02] to [R-dec-18])."""

import itertools
import unittest
from dataclasses import replace
from pathlib import Path

from mta_seal_py import ed25519, keyids, rollover
from mta_seal_py.decide import Level, Memory, Operator, Outcome, decide
from mta_seal_py.policy import Policy, SealingEntry

DRAFT = Path(__file__).resolve().parents[3] / "spec" / "draft-mta-seal.md"
NOW = 1_800_000_000
DOMAIN = "b.example"
OLD_SEED, NEW_SEED = b"\1" * 32, b"\2" * 32
OLD, NEW = ed25519.public_key(OLD_SEED), ed25519.public_key(NEW_SEED)
FIRST, SECOND, REMEMBERED = b"first", b"second", b"remembered"
ENTRIES = (SealingEntry(2, FIRST, selector="x"), SealingEntry(1, SECOND, public=b"x"))


def policy(mode, **changes):
    """A policy of the remembered identity."""
    fields = {
        "domain": DOMAIN,
        "mode": mode,
        "serial": NOW - 100,
        "expiry": NOW + 1000,
        "max_age": 1000,
        "window": 3600,
        "identity": OLD,
        "sealing_keys": ENTRIES,
    }
    return Policy(**{**fields, **changes})


def statement(serial):
    """A rollover from the old key to the new one."""
    return rollover.parse(rollover.sign(DOMAIN, OLD_SEED, NEW, serial, NOW + 1000))


def found(one, secure=False, available=(FIRST, SECOND)):
    """The outcome of a look-up that brought this policy."""
    return Outcome("found", secure, one, frozenset(available))


def outcomes():
    """By row of the table: the outcome, and what the memory must have for it."""
    expired, early = {"serial": NOW - 500, "expiry": NOW}, {"serial": NOW + 4000, "expiry": NOW + 9000}
    rows = {
        "none, stronger evidence": found(policy("none", identity=NEW), secure=True),
        "none, not in its time": found(policy("none", **expired)),
        "other identity, stronger evidence": found(policy("enforce", identity=NEW), secure=True),
        "other identity, secure": found(policy("enforce", identity=NEW), secure=True),
        "other identity, insecure": found(policy("enforce", identity=NEW)),
        "lower serial": found(policy("enforce", serial=NOW - 300)),
        "expired": found(policy("enforce", **expired)),
        "not yet valid": found(policy("testing", **early)),
    }
    for mode in ("enforce", "testing", "none"):
        rows[mode] = found(policy(mode))
        rows[f"{mode}, by rollover"] = found(policy(mode, identity=NEW, statement=statement(NOW - 100)))
        rows[f"{mode}, by announced key"] = found(policy(mode, identity=NEW))
    for mode in ("enforce", "testing"):
        rows[f"{mode}, key remembered"] = found(policy(mode), available=(SECOND,))
        rows[f"{mode}, other key"] = found(policy(mode), available=(SECOND,))
        rows[f"{mode}, no key"] = found(policy(mode), available=())
        rows[f"{mode}, unknown suites"] = found(policy(mode, sealing_keys=()))
    for kind in ("nxdomain", "nodata"):
        for secure in (True, False):
            rows[f"{kind.upper()}, {'secure' if secure else 'insecure'}"] = Outcome(kind, secure)
    for kind in (
        "SERVFAIL",
        "timeout",
        "bogus",
        "malformed",
        "two records",
        "CNAME loop",
        "too large",
        "bad signature",
    ):
        rows[kind] = Outcome(kind.lower())
    return rows


# Rows that lift a remembered `enforce` ([R-dec-11]).
LIFTING = ("none", "none, by rollover", "none, by announced key")

# Rows whose letters N and E speak of a remembered identity key: there has to be one to differ from.
NEED_AN_IDENTITY = ("other identity", "lower serial", "none, stronger")


def memory(column, row):
    """What the letters of a column say is remembered."""
    level = Level.DNSSEC if row == "other identity, secure" else Level.FIRST_USE
    announced = keyids.fingerprint(NEW) if "announced" in row else None
    remembered = policy("testing", serial=NOW - 200, next_identity=announced)
    enforce_until = NOW + 500 if "E" in column else 0
    key_id = FIRST if row.endswith("key remembered") else REMEMBERED
    if "K" in column:
        return Memory(remembered, level, key_id, enforce_until)
    if "E" in column or row.endswith("key remembered"):
        return Memory(replace(remembered, expiry=NOW - 1), level, key_id, enforce_until)
    if row.startswith(NEED_AN_IDENTITY):
        return Memory(replace(remembered, mode="none"), level, None, 0)
    return None


def table(first):
    """The cells of the table of the draft whose first heading this is: (row, column) and the text."""
    cells, columns = {}, None
    for line in DRAFT.read_text(encoding="utf-8").splitlines():
        words = [word.strip().replace("`", "") for word in line.strip("|").split("|")]
        if columns is None and line.startswith(f"| {first} |"):
            columns = words[1:]
        elif columns and not line.startswith("|"):
            break
        elif columns and not words[0].startswith("---"):
            cells.update({(words[0], column): verdict for column, verdict in zip(columns, words[1:])})
    return cells


class Table(unittest.TestCase):
    def test_every_cell(self):
        rows, cells = outcomes(), table("Outcome")
        self.assertEqual({row for row, _ in cells}, set(rows))
        self.assertEqual(len(cells), 8 * len(rows))
        for (row, column), wanted in cells.items():
            wishes = (
                [("prefer", False)]
                if column.endswith("-")
                else [("require", False), ("prefer", True), ("require", True)]
            )
            for rule, demand in wishes:
                with self.subTest(row=row, column=column, rule=rule, demand=demand):
                    decision = decide(Operator(rule), rows[row], memory(column, row), demand, NOW)
                    verdict = "memory" if decision.source == "memory" else decision.verdict
                    self.assertEqual(verdict, wanted)


class OtherTables(unittest.TestCase):
    def test_levels(self):
        now, later = policy("enforce", serial=NOW - 200, text=b"one"), policy("enforce", text=b"two")
        successor = policy("enforce", identity=NEW, statement=statement(NOW - 100))
        below, at = (Memory(now, level, REMEMBERED, NOW + 10) for level in (Level.FIRST_USE, Level.DNSSEC))
        rows = {
            "found, nothing remembered": (now, None),
            "found, the remembered text, learned below dnssec": (now, below),
            "found, the remembered text, learned at dnssec": (now, at),
            "found, a new text of the remembered identity key": (later, below),
            "found, of its proven successor": (successor, below),
            "found, of another identity key, memory below dnssec": (policy("enforce", identity=NEW), below),
            "found, of another identity key, memory at dnssec": (policy("enforce", identity=NEW), at),
            "remembered, learned below dnssec": (None, below),
            "remembered, learned at dnssec": (None, at),
        }
        cells = table("Policy")
        self.assertEqual({row for row, _ in cells}, set(rows))
        for (row, column), wanted in cells.items():
            one, remembered = rows[row]
            secure = column == "Secure answer"
            outcome = found(one, secure) if one else Outcome("nodata", secure)
            decision = decide(Operator(), outcome, remembered, False, NOW)
            with self.subTest(row=row, column=column):
                if wanted == "not believed":
                    self.assertEqual(decision.source, "memory")
                else:
                    self.assertEqual(decision.level, Level[wanted.upper().replace("-", "_")])

    def test_minimum(self):
        one = policy("enforce", serial=NOW - 200)
        pin = keyids.fingerprint(OLD)
        rows = {
            "policy at first-use": (found(one), None, None),
            "policy at remembered": (found(one), Memory(one, Level.FIRST_USE, REMEMBERED), None),
            "policy at dnssec": (found(one, True), None, None),
            "policy at pinned": (found(one), None, pin),
            "insecure denial": (Outcome("nodata"), None, None),
            "secure denial": (Outcome("nodata", True), None, None),
        }
        cells = table("What decides")
        self.assertEqual({row for row, _ in cells}, set(rows))
        for (row, column), wanted in cells.items():
            outcome, remembered, pinned = rows[row]
            minimum = Level[column.upper().replace("-", "_")]
            decision = decide(Operator(minimum=minimum, pin=pinned), outcome, remembered, False, NOW)
            with self.subTest(row=row, column=column):
                self.assertEqual(decision.verdict == "defer", wanted == "defer")


class Everything(unittest.TestCase):
    def cases(self):
        """All outcomes with all memories and settings."""
        for (row, outcome), column in itertools.product(outcomes().items(), ("N", "K", "KE", "E")):
            for minimum, override, less in itertools.product(Level, (False, True), (False, True)):
                yield row, outcome, memory(column, row), Operator("prefer", minimum, None, less, override), column

    def test_a_wish_never_goes_clear_and_only_tightens(self):
        for row, outcome, remembered, operator, _ in self.cases():
            plain = decide(operator, outcome, remembered, False, NOW)
            for rule, demand in (("require", False), ("prefer", True), ("require", True)):
                wished = decide(replace(operator, rule=rule), outcome, remembered, demand, NOW)
                self.assertNotEqual(wished.verdict, "clear", row)
                if plain.verdict in ("seal", "reject"):
                    self.assertIn(wished.verdict, (plain.verdict, "defer"), row)

    def test_no_error_goes_clear(self):
        for row, outcome, remembered, operator, _ in self.cases():
            if outcome.kind not in ("found", "nxdomain", "nodata") and not operator.override:
                self.assertIn(decide(operator, outcome, remembered, False, NOW).verdict, ("seal", "defer"), row)

    def test_remembered_enforce(self):
        for row, outcome, remembered, operator, column in self.cases():
            if "E" in column and not operator.override and row not in LIFTING:
                self.assertNotEqual(decide(operator, outcome, remembered, False, NOW).verdict, "clear", row)

    def test_what_is_sealed_stays_sealed_under_an_override(self):
        for row, outcome, remembered, operator, _ in self.cases():
            if decide(replace(operator, override=False), outcome, remembered, False, NOW).verdict == "seal":
                changed = decide(replace(operator, override=True), outcome, remembered, False, NOW)
                self.assertEqual(changed.verdict, "seal", row)

    def test_minimum_level_holds(self):
        for row, outcome, remembered, operator, _ in self.cases():
            decision = decide(operator, outcome, remembered, False, NOW)
            if decision.verdict == "seal":
                self.assertGreaterEqual(decision.level, operator.minimum, row)

    def test_never(self):
        for row, outcome, remembered, operator, _ in self.cases():
            operator = replace(operator, rule="never")
            self.assertEqual(decide(operator, outcome, remembered, False, NOW).verdict, "clear", row)
            self.assertEqual(decide(operator, outcome, remembered, True, NOW).verdict, "reject", row)


class Exceptions(unittest.TestCase):
    def verdict(self, outcome, remembered=None, **operator):
        """The verdict for a message without demand."""
        return decide(Operator(**operator), outcome, remembered, False, NOW)

    def test_denials_and_minimum(self):
        for secure, minimum, wanted in (
            (False, Level.REMEMBERED, "clear"),
            (False, Level.DNSSEC, "defer"),
            (True, Level.DNSSEC, "clear"),
            (True, Level.PINNED, "defer"),
        ):
            self.assertEqual(self.verdict(Outcome("nodata", secure), minimum=minimum).verdict, wanted)

    def test_pin(self):
        pin = keyids.fingerprint(OLD)
        self.assertEqual(self.verdict(found(policy("enforce")), pin=pin).level, Level.PINNED)
        self.assertEqual(self.verdict(found(policy("enforce", identity=NEW), True), pin=pin).verdict, "defer")
        self.assertEqual(self.verdict(Outcome("nxdomain", True), pin=pin).verdict, "defer")
        remembered = Memory(policy("enforce", serial=NOW - 200), Level.PINNED, REMEMBERED, NOW + 10)
        successor = found(policy("enforce", identity=NEW, statement=statement(NOW - 100)))
        self.assertEqual(self.verdict(successor, remembered, pin=pin).level, Level.PINNED)
        self.assertEqual(self.verdict(Outcome("timeout"), remembered, pin=pin).level, Level.PINNED)
        # A memory that descends from the pinned key is not led back to it; one that does not fit gives way.
        descended = replace(remembered, policy=policy("enforce", identity=NEW, serial=NOW - 200))
        self.assertEqual(self.verdict(found(policy("enforce"), True), descended, pin=pin).source, "memory")
        unfit = replace(descended, level=Level.DNSSEC)
        self.assertEqual(self.verdict(found(policy("enforce")), unfit, pin=pin).level, Level.PINNED)
        other = replace(remembered, policy=policy("enforce", identity=NEW), level=Level.DNSSEC)
        self.assertEqual(self.verdict(Outcome("timeout"), other, pin=pin).verdict, "defer")

    def test_unsupported_none(self):
        for serial, remembered, secure, wanted in (
            (NOW - 300, None, False, "defer"),
            (NOW - 300, None, True, "clear"),
            (NOW - 100, policy("enforce", serial=NOW - 200), False, "defer"),
            (NOW - 100, policy("enforce", serial=NOW - 200), True, "clear"),
            (NOW - 100, policy("enforce", serial=NOW - 200, identity=NEW), False, "defer"),
            (NOW - 100, policy("enforce", serial=NOW - 200, next_identity=keyids.fingerprint(OLD), identity=NEW), False, "defer"),
        ):
            memory = remembered and Memory(remembered, Level.FIRST_USE)
            for rule in ("prefer", "require"):
                pinned = {"rule": rule, "pin": keyids.fingerprint(OLD)}
                verdict = self.verdict(found(policy("none", serial=serial), secure), memory, **pinned).verdict
                self.assertEqual(verdict, "reject" if (rule, wanted) == ("require", "clear") else wanted)

    def test_none_of_a_key_that_replaced_another_does_not_lift(self):
        remembered = Memory(policy("none", serial=NOW - 200), Level.DNSSEC, None, NOW + 10, replaced=True)
        self.assertEqual(self.verdict(found(policy("none"), True), remembered).verdict, "defer")
        self.assertEqual(
            self.verdict(found(policy("none"), True), replace(remembered, replaced=False)).verdict, "clear"
        )

    def test_remembered_key_needs_no_record(self):
        remembered = Memory(policy("enforce", serial=NOW - 200), Level.FIRST_USE, FIRST, NOW + 10)
        self.assertEqual(self.verdict(found(policy("enforce"), available=()), remembered).key_id, FIRST)

    def test_less_preferred(self):
        outcome = found(policy("enforce"), available=(SECOND,))
        self.assertEqual(self.verdict(outcome).verdict, "defer")
        self.assertEqual(self.verdict(outcome, less_preferred=True).key_id, SECOND)
        self.assertEqual(self.verdict(outcome, override=True).key_id, SECOND)
