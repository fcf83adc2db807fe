// Whether an identity key is believed, and at which level [R-dec-01], [R-dec-07].
import { fingerprint } from "./keys.js";
import type { Memory } from "./memory.js";
import { equal, type Octets } from "./octets.js";
import type { Policy } from "./policy.js";
import { provesSuccession } from "./rollover.js";

export const LEVELS = ["first-use", "remembered", "dnssec", "pinned"] as const;
export type Level = (typeof LEVELS)[number];

export function atLeast(level: Level, minimum: Level): boolean {
  return LEVELS.indexOf(level) >= LEVELS.indexOf(minimum);
}

export function higher(a: Level, b: Level): Level {
  return atLeast(a, b) ? a : b;
}

/** How the identity key of a policy found stands to the one that is remembered. */
export type Relation = "first" | "same" | "successor" | "other";

export function relationOf(policy: Policy, memory: Memory | undefined, now: number): Relation {
  if (memory === undefined) return "first";
  const remembered = memory.policy;
  if (equal(policy.identityKey, remembered.identityKey)) return "same";
  const announced = remembered.nextIdentity !== undefined && equal(remembered.nextIdentity, fingerprint(policy.identityKey));
  return announced || provesSuccession(policy, remembered.identityKey, now) ? "successor" : "other";
}

/** At which level a policy found is believed; nothing if it is not. */
export function levelOf(policy: Policy, relation: Relation, secure: boolean, memory: Memory | undefined, pin: Octets | undefined): Level | undefined {
  return pin === undefined ? unpinnedLevel(policy, relation, secure, memory) : pinnedLevel(policy, relation, memory, pin);
}

/** {{level-table}} */
function unpinnedLevel(policy: Policy, relation: Relation, secure: boolean, memory: Memory | undefined): Level | undefined {
  if (memory === undefined) return secure ? "dnssec" : "first-use";
  const memoryAtDnssec = atLeast(memory.level, "dnssec");
  if (relation === "other") return secure && !memoryAtDnssec ? "dnssec" : undefined;
  const learnedAtDnssec = memoryAtDnssec && equal(policy.text, memory.policy.text);
  return secure || learnedAtDnssec ? "dnssec" : "remembered";
}

/** {{pin-table}}, the first four rows. */
function pinnedLevel(policy: Policy, relation: Relation, memory: Memory | undefined, pin: Octets): Level | undefined {
  const isPinnedKey = equal(fingerprint(policy.identityKey), pin);
  const memoryFits = memory !== undefined && fits(memory, pin);
  if (relation === "same" || relation === "successor") return isPinnedKey || memoryFits ? "pinned" : undefined;
  return isPinnedKey && !memoryFits ? "pinned" : undefined;
}

/** Whether the remembered identity key is the pinned one or descends from it by proven successions. */
export function fits(memory: Memory, pin: Octets): boolean {
  return [fingerprint(memory.policy.identityKey), ...memory.ancestors].some((each) => equal(each, pin));
}

/** The level at which a remembered policy decides [R-dec-10]. */
export function levelOfMemory(memory: Memory, pin: Octets | undefined): Level {
  return pin === undefined ? higher(memory.level, "remembered") : "pinned";
}
