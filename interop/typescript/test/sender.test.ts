import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as ed25519 from "../src/ed25519.js";
import { fingerprint } from "../src/keys.js";
import type { FailedLookup, Outcome } from "../src/lookup.js";
import type { Memory } from "../src/memory.js";
import { decideSender, type SenderPolicy } from "../src/sender.js";
import { table } from "./draft.js";
import { DAY, NOW, policy, seed, type PolicyOptions } from "./world.js";

const OPERATOR: SenderPolicy = { minimum: "first-use" };
const SERIAL = NOW - 10 * DAY;

function remember(options: PolicyOptions, rest: Partial<Memory> = {}): Memory {
  const held = policy({ serial: SERIAL, ...options });
  return { policy: held, level: "first-use", enforceUntil: 0, ancestors: [], replacedWithoutAsking: false, ...rest };
}

const COLUMNS: Readonly<Record<string, readonly (Memory | undefined)[]>> = {
  N: [undefined],
  M: [remember({})],
  X: [remember({ expiry: NOW }), remember({ mode: "none", signing: [] })],
};

const found = (options: PolicyOptions, secure = false): Outcome => ({
  kind: "found", secure, policy: policy(options), keyRecord: () => "missing",
});

const OUTCOMES: Readonly<Record<string, readonly Outcome[]>> = {
  "signing keys": [found({}), found({ mode: "none" }, true)],
  "no signing key": [found({ mode: "none", signing: [] })],
  "none, not in its time": [found({ mode: "none", serial: NOW + 3601 })],
  "lower serial": [found({ serial: SERIAL - 1 })],
  expired: [found({ serial: NOW - DAY, expiry: NOW })],
  "not yet valid": [found({ serial: NOW + 3601 })],
  "NXDOMAIN, secure": [{ kind: "nxdomain", secure: true }],
  "NXDOMAIN, insecure": [{ kind: "nxdomain", secure: false }],
  "NODATA, secure": [{ kind: "nodata", secure: true }],
  "NODATA, insecure": [{ kind: "nodata", secure: false }],
  "other identity, insecure": [found({ identity: "other" })],
  "other identity, secure": [found({ identity: "other" }, true)],
};
const FAILED: Readonly<Record<string, FailedLookup>> = {
  SERVFAIL: "servfail", timeout: "timeout", bogus: "bogus", malformed: "malformed", "two records": "two-records",
  "CNAME loop": "cname-loop", "too large": "too-large", "bad signature": "bad-signature",
};

describe("{{sender-table}}", () => {
  for (const row of table("Outcome", "N |")) {
    it(row.name, () => {
      for (const [column, expected] of Object.entries(row.cells)) {
        if (expected === "not possible") continue;
        for (const outcome of OUTCOMES[row.name] ?? [{ kind: FAILED[row.name]! }]) {
          for (const held of COLUMNS[column]!) {
            const memory = held && row.name === "other identity, secure" ? { ...held, level: "dnssec" as const } : held;
            const decision = decideSender({ operator: OPERATOR, outcome, memory, now: NOW });
            const fromMemory = decision.verdict === "verify" && decision.source === "memory";
            assert.equal(fromMemory ? "memory" : decision.verdict, expected, column);
          }
        }
      }
    });
  }

  it("stronger evidence is believed", () => {
    const question = { operator: OPERATOR, outcome: found({ identity: "other" }, true), memory: remember({}), now: NOW };
    assert.equal(decideSender(question).verdict, "verify");
  });

  it("below the minimum level, and without the pinned key, the message waits", () => {
    const question = { outcome: found({}), memory: undefined, now: NOW };
    assert.equal(decideSender({ ...question, operator: { minimum: "remembered" } }).verdict, "defer");
    const pin = (name: string) => fingerprint(ed25519.publicKeyOf(seed(name)));
    assert.equal(decideSender({ ...question, operator: { minimum: "pinned", pin: pin("identity") } }).verdict, "verify");
    assert.equal(decideSender({ ...question, operator: { minimum: "first-use", pin: pin("other") } }).verdict, "defer");
    const memory = remember({});
    assert.equal(decideSender({ ...question, outcome: { kind: "timeout" }, memory, operator: { minimum: "dnssec" } }).verdict, "defer");
    assert.equal(
      decideSender({ ...question, outcome: { kind: "timeout" }, memory, operator: { minimum: "first-use", pin: pin("other") } }).verdict,
      "defer",
    );
  });
});
