// Every cell of the tables of the draft, by the public function.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { decide, type Decision, type OperatorPolicy, type Question } from "../src/decision.js";
import * as ed25519 from "../src/ed25519.js";
import { fingerprint } from "../src/keys.js";
import { LEVELS, type Level } from "../src/levels.js";
import type { KeyTrouble } from "../src/key-record.js";
import type { FailedLookup, Outcome } from "../src/lookup.js";
import type { Memory, SealingKey } from "../src/memory.js";
import type { Octets } from "../src/octets.js";
import type { Mode, Policy } from "../src/policy.js";
import { table } from "./draft.js";
import { DAY, inline, listed, NOW, octets, policy, seed, SUITE_1_KEY, SUITE_2_KEY, type PolicyOptions } from "./world.js";

const PREFER: OperatorPolicy = { rule: "prefer", minimum: "first-use" };
const BOTH = `${listed(SUITE_2_KEY)},${inline(SUITE_1_KEY)}`;
const MEMORY_KEY: SealingKey = { suite: 2, publicKey: octets("remembered", 1216) };
const TROUBLES: readonly KeyTrouble[] = ["missing", "unreachable", "malformed", "mismatch"];
const fingerprintOf = (identity: string) => fingerprint(ed25519.publicKeyOf(seed(identity)));

/** `+` in each of the ways to be one. */
const WISHES: Readonly<Record<string, readonly (readonly [OperatorPolicy["rule"], boolean])[]>> = {
  "-": [["prefer", false]],
  "+": [["require", false], ["prefer", true], ["require", true]],
};

function remember(options: PolicyOptions, rest: Partial<Memory> = {}): Memory {
  return {
    policy: policy({ serial: NOW - 10 * DAY, keys: listed(MEMORY_KEY.publicKey), ...options }),
    level: "first-use",
    enforceUntil: 0,
    ancestors: [],
    replacedWithoutAsking: false,
    ...rest,
  };
}

type Column = "N" | "K" | "KE" | "E";

/** What stands behind the letters of a column: each of the ways to be one. */
function memories(column: Column, options: PolicyOptions = {}, rest: Partial<Memory> = {}): readonly (Memory | undefined)[] {
  const enforceUntil = NOW + DAY;
  const key = MEMORY_KEY;
  switch (column) {
    case "N":
      return [
        remember({ mode: "none", ...options }, { key, ...rest }),
        remember({ mode: "testing", ...options }, rest),
        remember({ mode: "enforce", expiry: NOW, ...options }, { key, enforceUntil: NOW, ...rest }),
      ];
    case "K":
      return [remember({ mode: "testing", ...options }, { key, ...rest }), remember({ mode: "enforce", ...options }, { key, enforceUntil: NOW, ...rest })];
    case "KE":
      return [remember({ mode: "enforce", ...options }, { key, enforceUntil, ...rest })];
    case "E":
      return [
        remember({ mode: "enforce", expiry: NOW, ...options }, { key, enforceUntil, ...rest }),
        remember({ mode: "enforce", ...options }, { enforceUntil, ...rest }),
      ];
  }
}

function found(options: PolicyOptions, secure = false, key: (suite: number) => Octets | KeyTrouble = () => SUITE_2_KEY): Outcome {
  return { kind: "found", secure, policy: policy({ keys: BOTH, ...options }), keyRecord: (entry) => key(entry.suite) };
}

interface Scenario {
  readonly outcome: Outcome;
  readonly memory: Memory | undefined;
}

/** Pairs outcomes with memories, and with none if the column is N and the row needs none. */
function pair(column: Column, outcomes: readonly Outcome[], options: PolicyOptions = {}, rest: Partial<Memory> = {}, needed = false): readonly Scenario[] {
  const all = [...memories(column, options, rest), ...(column === "N" && !needed ? [undefined] : [])];
  return outcomes.flatMap((outcome) => all.map((memory) => ({ outcome, memory })));
}

const OTHER = { identity: "other" };
const NOT_IN_TIME: readonly PolicyOptions[] = [{ serial: NOW - 2 * DAY, expiry: NOW }, { serial: NOW + 3601 }];

function scenarios(row: string, column: Column): readonly Scenario[] {
  const [mode, what] = row.split(", ") as [Mode, string | undefined];
  if (row === "none, not in its time") return pair(column, NOT_IN_TIME.map((options) => found({ mode: "none", ...options })));
  if (row === "none, stronger evidence") {
    const again = { key: MEMORY_KEY, replacedWithoutAsking: true };
    return [
      ...pair(column, [found({ mode: "none", ...OTHER }, true)], {}, {}, true),
      ...pair(column, [found({ mode: "none" })], {}, { ...again, ...(column === "E" && { key: MEMORY_KEY }) }, true),
    ];
  }
  if (mode === "enforce" || mode === "testing" || mode === "none") {
    switch (what) {
      case undefined:
        return pair(column, [found({ mode }), found({ mode }, true)]);
      case "by rollover":
        return pair(column, [found({ mode, rolloverFrom: "identity", ...OTHER })], {}, {}, true);
      case "by announced key":
        return pair(column, [found({ mode, ...OTHER })], { next: fingerprintOf("other") }, {}, true);
      case "key remembered":
        return pair(column, [found({ mode, keys: `${listed(MEMORY_KEY.publicKey)},${inline(SUITE_1_KEY)}` }, false, () => "missing")], {}, { key: MEMORY_KEY }, true)
          .filter(({ memory }) => memory?.key !== undefined);
      case "other key":
        return pair(column, TROUBLES.map((trouble) => found({ mode }, false, () => trouble)));
      case "no key":
        return pair(column, TROUBLES.map((trouble) => found({ mode, keys: listed(SUITE_2_KEY) }, false, () => trouble)));
      case "unknown suites":
        return pair(column, [found({ mode, keys: "3:AAAA,65535:s:AAAA" })]);
    }
  }
  switch (row) {
    case "other identity, stronger evidence":
      return pair(column, [found(OTHER, true)], {}, {}, true);
    case "other identity, secure":
      return pair(column, [found(OTHER, true)], {}, { level: "dnssec" }, true);
    case "other identity, insecure":
      return [...pair(column, [found(OTHER)], {}, {}, true), ...pair(column, [found(OTHER)], {}, { level: "dnssec" }, true)];
    case "lower serial":
      return pair(column, [found({ serial: NOW - 11 * DAY })], {}, {}, true);
    case "expired":
      return pair(column, [found(NOT_IN_TIME[0]!), found({ mode: "testing", ...NOT_IN_TIME[0] })]);
    case "not yet valid":
      return pair(column, [found(NOT_IN_TIME[1]!), found({ mode: "testing", ...NOT_IN_TIME[1] })]);
    case "NXDOMAIN, secure":
    case "NODATA, secure":
    case "NXDOMAIN, insecure":
    case "NODATA, insecure":
      return pair(column, [{ kind: row.startsWith("NX") ? "nxdomain" : "nodata", secure: row.endsWith(" secure") }]);
    default:
      return pair(column, [{ kind: failedLookup(row) }]);
  }
}

function failedLookup(row: string): FailedLookup {
  const kinds: Readonly<Record<string, FailedLookup>> = {
    SERVFAIL: "servfail", timeout: "timeout", bogus: "bogus", malformed: "malformed", "two records": "two-records",
    "CNAME loop": "cname-loop", "too large": "too-large", "bad signature": "bad-signature",
  };
  const kind = kinds[row];
  if (kind === undefined) throw new Error(`the draft has a new row: ${row}`);
  return kind;
}

/** A decision in the words of the table. */
function cellOf(decision: Decision): string {
  return decision.verdict === "seal" && decision.source === "memory" ? "memory" : decision.verdict;
}

function ask(scenario: Scenario, operator: OperatorPolicy = PREFER, demand = false): Decision {
  return decide({ ...scenario, operator, demand, now: NOW });
}

describe("{{decision-table}}", () => {
  for (const row of table("Outcome", "N-")) {
    it(row.name, () => {
      for (const [name, expected] of Object.entries(row.cells)) {
        const all = scenarios(row.name, name.slice(0, -1) as Column);
        assert.ok(all.length > 0);
        for (const scenario of all) {
          for (const [rule, demand] of WISHES[name.slice(-1)]!) {
            const decision = ask(scenario, { ...PREFER, rule }, demand);
            assert.equal(cellOf(decision), expected, `${name}: ${JSON.stringify(decision)}`);
            if (expected === "memory") assert.deepEqual(decision.verdict === "seal" && decision.key, MEMORY_KEY);
            if (expected === "seal") assert.equal(decision.verdict === "seal" && decision.key.suite, row.name.includes("other key") ? 1 : 2);
          }
        }
      }
    });
  }
});

describe("{{level-table}}", () => {
  const key = MEMORY_KEY;
  const known = (level: Level, options: PolicyOptions = {}) => remember(options, { level, key, enforceUntil: NOW + DAY });
  const text = { mode: "testing" } as const;
  const rows: Readonly<Record<string, (secure: boolean) => Scenario>> = {
    "found, nothing remembered": (secure) => ({ outcome: found({}, secure), memory: undefined }),
    "found, the remembered text, learned below dnssec": (secure) => ({
      outcome: found(text, secure), memory: { ...known("first-use"), policy: policy({ keys: BOTH, ...text }) },
    }),
    "found, the remembered text, learned at dnssec": (secure) => ({
      outcome: found(text, secure), memory: { ...known("dnssec"), policy: policy({ keys: BOTH, ...text }) },
    }),
    "found, a new text of the remembered identity key": (secure) => ({ outcome: found({}, secure), memory: known("dnssec") }),
    "found, of its proven successor": (secure) => ({ outcome: found({ ...OTHER, rolloverFrom: "identity" }, secure), memory: known("dnssec") }),
    "found, of another identity key, memory below dnssec": (secure) => ({ outcome: found(OTHER, secure), memory: known("remembered") }),
    "found, of another identity key, memory at dnssec": (secure) => ({ outcome: found(OTHER, secure), memory: known("dnssec") }),
    "remembered, learned below dnssec": (secure) => ({ outcome: { kind: "nodata", secure }, memory: known("first-use") }),
    "remembered, learned at dnssec": (secure) => ({ outcome: { kind: "nodata", secure }, memory: known("dnssec") }),
  };
  for (const row of table("Policy", "Insecure answer")) {
    it(row.name, () => {
      for (const [column, expected] of Object.entries(row.cells)) {
        const decision = ask(rows[row.name]!(column === "Secure answer"));
        assert.ok(decision.verdict === "seal");
        if (expected === "not believed") assert.equal(decision.source, "memory");
        else assert.equal(decision.level, expected);
      }
    });
  }
});

describe("{{pin-table}}", () => {
  const key = MEMORY_KEY;
  const pinned = (name: string): OperatorPolicy => ({ ...PREFER, pin: fingerprintOf(name) });
  const memoryOf: Readonly<Record<string, Memory | undefined>> = {
    "nothing remembered": undefined,
    "memory fits": remember({}, { key, ancestors: [fingerprintOf("ancestor")] }),
    "memory does not fit": remember({}, { key }),
  };
  /** The pinned key, where the memory of that column fits it or does not. */
  const cases = (row: string, column: string): readonly (readonly [Outcome, OperatorPolicy])[] => {
    const fits = column === "memory fits";
    const successor = { ...OTHER, rolloverFrom: "identity" };
    switch (row) {
      case "policy of the remembered identity key or its proven successor, and the pinned one":
        return fits ? [[found({}), pinned("identity")]] : [[found(successor), pinned("other")]];
      case "policy of the remembered identity key or its proven successor, not the pinned one":
        return fits ? [[found({}), pinned("ancestor")], [found(successor), pinned("identity")]] : [[found({}), pinned("third")], [found(successor), pinned("third")]];
      case "policy of the pinned identity key":
        return fits ? [[found({ identity: "ancestor" }), pinned("ancestor")]] : [[found(OTHER), pinned("other")]];
      case "policy of any other identity key":
        return [[found(OTHER, true), pinned(fits ? "identity" : "third")]];
      case "cell memory":
        return [[{ kind: "servfail" }, pinned(fits ? "ancestor" : "third")]];
      default:
        throw new Error(`the draft has a new row: ${row}`);
    }
  };
  for (const row of table("With a pin", "nothing remembered")) {
    it(row.name, () => {
      for (const [column, expected] of Object.entries(row.cells)) {
        if (expected === "not possible") continue;
        if (row.name.startsWith("cell clear")) {
          assertWaits(row.name, column);
          continue;
        }
        for (const [outcome, operator] of cases(row.name, column)) {
          const decision = ask({ outcome, memory: memoryOf[column] }, operator);
          const fromDns = decision.verdict === "seal" && decision.source === "dns";
          if (expected === "pinned") assert.ok(fromDns && decision.level === "pinned", `${column}: ${JSON.stringify(decision)}`);
          else if (expected === "not believed") assert.ok(!fromDns, column);
          else assert.equal(cellOf(decision), expected, column);
        }
      }
    });
  }

  /** Without the pin it would go clear, be refused, or be sealed to another key. */
  function assertWaits(row: string, column: string): void {
    const denial: Outcome = { kind: "nodata", secure: true };
    const pin = column === "memory does not fit" ? "third" : "identity";
    const memory = column === "nothing remembered" ? undefined : remember({ mode: "none" });
    const troubles = [found({ mode: "testing", keys: listed(SUITE_2_KEY) }, false, () => "missing"), found({ mode: "testing" }, false, () => "missing")];
    for (const outcome of row.includes("after a denial") ? [denial, found({ mode: "none", serial: NOW + 3601 })] : troubles) {
      for (const rule of ["prefer", "require"] as const) assert.equal(ask({ outcome, memory }, { ...pinned(pin), rule }).verdict, "defer");
    }
  }
});

describe("{{minimum-table}}", () => {
  const key = MEMORY_KEY;
  const whatDecides: Readonly<Record<string, readonly (Scenario & { pin?: Octets })[]>> = {
    "policy at first-use": [{ outcome: found({}), memory: undefined }, { outcome: found({ mode: "none" }), memory: undefined }],
    "policy at remembered": [
      { outcome: found({}), memory: remember({}) },
      { outcome: { kind: "timeout" }, memory: remember({}, { key }) },
    ],
    "policy at dnssec": [
      { outcome: found({}, true), memory: undefined },
      { outcome: { kind: "bogus" }, memory: remember({}, { key, level: "dnssec" }) },
    ],
    "policy at pinned": [
      { outcome: found({}), memory: undefined, pin: fingerprintOf("identity") },
      { outcome: { kind: "bogus" }, memory: remember({}, { key }), pin: fingerprintOf("identity") },
    ],
    "insecure denial": [{ outcome: { kind: "nodata", secure: false }, memory: undefined }],
    "secure denial": [{ outcome: { kind: "nxdomain", secure: true }, memory: undefined }],
  };
  for (const row of table("What decides", "first-use")) {
    it(row.name, () => {
      for (const [minimum, expected] of Object.entries(row.cells) as [Level, string][]) {
        for (const rule of ["prefer", "require"] as const) {
          for (const { pin, ...scenario } of whatDecides[row.name]!) {
            const operator = { ...PREFER, rule, ...(pin && { pin }) };
            const stands = ask(scenario, operator);
            assert.notEqual(stands.verdict, "defer");
            const decision = ask(scenario, { ...operator, minimum });
            if (expected === "stands") assert.deepEqual(decision, stands);
            else assert.equal(decision.verdict, expected);
          }
        }
      }
    });
  }
});

describe("{{exception-table}}", () => {
  const otherKey = found({}, false, () => "missing");
  const soFar: Readonly<Record<string, Scenario>> = {
    seal: { outcome: found({}), memory: undefined },
    memory: { outcome: { kind: "servfail" }, memory: remember({}, { key: MEMORY_KEY }) },
    clear: { outcome: { kind: "nodata", secure: false }, memory: undefined },
    "other key": { outcome: otherKey, memory: undefined },
    defer: { outcome: { kind: "servfail" }, memory: undefined },
    reject: { outcome: { kind: "nodata", secure: false }, memory: undefined },
  };
  for (const row of table("Decision so far", "weaker suite allowed, -")) {
    it(row.name, () => {
      for (const [column, expected] of Object.entries(row.cells)) {
        if (expected === "not possible") continue;
        const exception = column.startsWith("weaker") ? { weakerSuite: true } : { override: true };
        for (const [rule, demand] of WISHES[column.slice(-1)]!) {
          const decision = ask(soFar[row.name]!, { ...PREFER, rule, ...exception }, demand);
          assert.equal(cellOf(decision), expected, column);
        }
      }
    });
  }

  it("a policy below the minimum level does not decide about another key", () => {
    const operator = { ...PREFER, minimum: "dnssec" } as const;
    assert.equal(ask({ outcome: otherKey, memory: undefined }, { ...operator, weakerSuite: true }).verdict, "defer");
    assert.equal(ask({ outcome: otherKey, memory: undefined }, { ...operator, override: true }).verdict, "clear");
  });
});

describe("{{never-table}}", () => {
  const rows: Readonly<Record<string, readonly Scenario[]>> = {
    "enforce neither published nor remembered": [{ outcome: found({ mode: "testing" }), memory: undefined }],
    "enforce published or remembered": [
      { outcome: found({}), memory: undefined },
      { outcome: { kind: "servfail" }, memory: remember({}, { enforceUntil: NOW + DAY }) },
    ],
  };
  for (const row of table("Rule never", "without demand")) {
    it(row.name, () => {
      for (const [column, expected] of Object.entries(row.cells)) {
        for (const scenario of rows[row.name]!) {
          const decision = ask(scenario, { ...PREFER, rule: "never", override: true }, column === "with demand");
          // Alarms are the gateway's.
          assert.equal(decision.verdict, expected.replace(", alarm", ""));
        }
      }
    });
  }
});

describe("{{properties}}", () => {
  const columns: readonly Column[] = ["N", "K", "KE", "E"];
  // A statement is as good as an announced key, and slow to verify again and again.
  const rows = table("Outcome", "N-").map((row) => row.name).filter((name) => !name.endsWith("by rollover"));
  const pins = [undefined, fingerprintOf("identity"), fingerprintOf("third")];

  function* questions(): Generator<Question> {
    for (const row of rows)
      for (const column of columns)
        for (const scenario of scenarios(row, column))
          for (const [rule, demand] of [...WISHES["-"]!, ...WISHES["+"]!, ["never", true] as const, ["never", false] as const])
            for (const minimum of LEVELS)
              for (const pin of pins)
                for (const exception of [{}, { weakerSuite: true }, { override: true }])
                  yield { ...scenario, now: NOW, demand, operator: { rule, minimum, ...(pin && { pin }), ...exception } };
  }

  it("[R-dec-20] to [R-dec-25], [R-dec-27] hold for all inputs of the tables", () => {
    for (const question of questions()) {
      const { operator, demand, memory, outcome } = question;
      const decision = decide(question);
      const mustSeal = operator.rule === "require" || demand;
      if (operator.rule === "never") assert.equal(decision.verdict, demand ? "reject" : "clear");
      if (mustSeal) assert.notEqual(decision.verdict, "clear");
      if (decision.verdict === "seal") {
        assert.ok(LEVELS.indexOf(decision.level) >= LEVELS.indexOf(operator.minimum));
        const listing: Policy | undefined = decision.source === "memory" ? memory?.policy : outcome.kind === "found" ? outcome.policy : undefined;
        assert.ok(listing?.sealingKeys.some((entry) => entry.suite === decision.key.suite));
        const without = decide({ ...question, operator: { ...operator, override: false, weakerSuite: false } });
        if (operator.override) assert.deepEqual(decision, decide({ ...question, operator: { ...operator, override: false, weakerSuite: true } }));
        if (without.verdict === "seal") assert.deepEqual(decision, without);
      }
      if (decision.verdict === "clear" && operator.rule !== "never" && !operator.override) {
        const enforced = memory !== undefined && NOW < memory.enforceUntil;
        if (enforced) assert.ok(outcome.kind === "found" && outcome.policy.mode === "none" && decision.reason === "withdrawn");
        assert.ok(outcome.kind === "found" || outcome.kind === "nxdomain" || outcome.kind === "nodata");
      }
    }
  });
});
