import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { lasting, learn, sealingKeyOf, type Memory, type Observation } from "../src/memory.js";
import { DAY, NOW, policy, SUITE_1_KEY, type PolicyOptions } from "./world.js";

const seen = (options: PolicyOptions, rest: Partial<Observation> = {}): Observation => ({
  policy: policy(options), relation: "same", level: "first-use", now: NOW, ...rest,
});

function learned(memory: Memory | undefined, observation: Observation): Memory {
  const after = learn(memory, observation);
  assert.ok(after);
  return after;
}

describe("[R-dec-09]", () => {
  it("a first policy of mode none at first-use is not remembered; any other is", () => {
    assert.equal(learn(undefined, seen({ mode: "none" }, { relation: "first" })), undefined);
    assert.ok(learn(undefined, seen({ mode: "none" }, { relation: "first", level: "dnssec" })));
    assert.ok(learn(undefined, seen({ mode: "testing" }, { relation: "first" })));
  });
});

describe("[R-dec-10]", () => {
  it("the very text keeps its level, a new text has its own", () => {
    const first = learned(undefined, seen({}, { relation: "first", level: "dnssec" }));
    assert.equal(learned(first, seen({}, { level: "remembered" })).level, "dnssec");
    assert.equal(learned(first, seen({ serial: NOW }, { level: "remembered" })).level, "remembered");
  });
});

describe("[R-dec-11]", () => {
  const maxAge = 10 * DAY;
  const enforced = learned(undefined, seen({ maxAge }, { relation: "first" }));

  it("enforce is remembered for max_age; testing does not shorten it, none lifts it", () => {
    assert.equal(enforced.enforceUntil, NOW + maxAge);
    assert.equal(learned(enforced, seen({ mode: "testing", serial: NOW, maxAge: 0 })).enforceUntil, NOW + maxAge);
    assert.equal(learned(enforced, seen({ mode: "none", serial: NOW })).enforceUntil, 0);
    assert.equal(learned(enforced, seen({ mode: "none", serial: NOW }, { relation: "successor" })).enforceUntil, 0);
  });

  it("a none of a key that replaced another lifts nothing, seen once or again, until it has asked for sealed mail", () => {
    const none = seen({ mode: "none", serial: NOW, identity: "other" }, { relation: "other", level: "dnssec" });
    const replaced = learned(enforced, none);
    assert.equal(replaced.enforceUntil, NOW + maxAge);
    assert.equal(learned(replaced, { ...none, relation: "same" }).enforceUntil, NOW + maxAge);
    const asked = learned(replaced, seen({ mode: "testing", serial: NOW, identity: "other" }));
    assert.equal(learned(asked, { ...none, relation: "same" }).enforceUntil, 0);
  });

  it("memory that began at first-use lasts for its hold, which doubles once a day up to max_age", () => {
    assert.deepEqual(enforced.hold, { seconds: 2 * DAY, observedAt: NOW, lengthenedAt: NOW });
    assert.ok(lasting(enforced, NOW + 2 * DAY - 1));
    assert.equal(lasting(enforced, NOW + 2 * DAY), undefined);
    const soon = learned(enforced, seen({ maxAge }, { now: NOW + DAY - 1 }));
    assert.equal(soon.hold?.seconds, 2 * DAY);
    let memory = soon;
    const holds = [1, 2, 3].map((day) => (memory = learned(memory, seen({ maxAge }, { now: NOW + day * DAY }))).hold?.seconds);
    assert.deepEqual(holds, [4 * DAY, 8 * DAY, 10 * DAY]);
    assert.equal(learned(undefined, seen({ maxAge: 60 }, { relation: "first" })).hold?.seconds, 60);
  });

  it("the hold ends once the policy is seen at dnssec", () => {
    const known = learned(enforced, seen({ maxAge }, { level: "dnssec" }));
    assert.equal(known.hold, undefined);
    assert.equal(learned(known, seen({ maxAge, serial: NOW })).hold, undefined);
  });
});

describe("[R-dec-25]", () => {
  it("a key that the remembered policy does not list, or of one that has expired or is withdrawn, is not sealed to", () => {
    const key = { suite: 1, publicKey: SUITE_1_KEY };
    const memory = learned(undefined, seen({}, { relation: "first", key }));
    assert.deepEqual(sealingKeyOf(memory, NOW), key);
    assert.equal(sealingKeyOf(memory, memory.policy.expiry), undefined);
    assert.equal(sealingKeyOf({ ...memory, key: { suite: 1, publicKey: new Uint8Array(32).fill(7) } }, NOW), undefined);
    assert.equal(sealingKeyOf(learned(memory, seen({ mode: "none", serial: NOW })), NOW), undefined);
  });
});
