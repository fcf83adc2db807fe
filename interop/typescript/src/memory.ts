// What a gateway remembers of a domain [R-dec-09] to [R-dec-11].
import { fingerprint, sealingKeyId } from "./keys.js";
import { atLeast, higher, type Level, type Relation } from "./levels.js";
import { equal, type Octets } from "./octets.js";
import type { Policy } from "./policy.js";

export interface SealingKey {
  readonly suite: number;
  readonly publicKey: Octets;
}

/** How long memory that began at first-use lasts after the last observation [R-dec-11]. */
export interface Hold {
  readonly seconds: number;
  readonly observedAt: number;
  readonly lengthenedAt: number;
}

export interface Memory {
  readonly policy: Policy;
  /** At which level the very text of the policy was learned. */
  readonly level: Level;
  /** The sealing key last used. */
  readonly key?: SealingKey;
  /** Until when `enforce` forbids clear mail; 0 if it does not. */
  readonly enforceUntil: number;
  /** Fingerprints of the identity keys that the remembered one descends from by proven successions. */
  readonly ancestors: readonly Octets[];
  /** Whether the identity key replaced another by stronger evidence, and has not asked for sealed mail since. */
  readonly replacedWithoutAsking: boolean;
  /** Nothing: memory lasts as the domain asks. */
  readonly hold?: Hold;
}

const DAY = 86400;

/** The memory, unless its hold has passed. */
export function lasting(memory: Memory | undefined, now: number): Memory | undefined {
  const hold = memory?.hold;
  return hold !== undefined && now >= hold.observedAt + hold.seconds ? undefined : memory;
}

/** The key to seal to from memory: listed by the remembered policy [R-dec-25], which has not expired and is not withdrawn. */
export function sealingKeyOf(memory: Memory | undefined, now: number): SealingKey | undefined {
  if (memory?.key === undefined || memory.policy.mode === "none" || now >= memory.policy.expiry) return undefined;
  const { suite, publicKey } = memory.key;
  const keyId = sealingKeyId(suite, publicKey);
  return memory.policy.sealingKeys.some((entry) => entry.suite === suite && equal(entry.keyId, keyId)) ? memory.key : undefined;
}

export function enforces(memory: Memory | undefined, now: number): boolean {
  return memory !== undefined && now < memory.enforceUntil;
}

/** A policy in force, as it was seen. */
export interface Observation {
  readonly policy: Policy;
  readonly relation: Relation;
  readonly level: Level;
  readonly key?: SealingKey;
  readonly now: number;
}

/** What is remembered after a policy in force was seen; of an unsupported `none` it is not asked [R-dec-28]. */
export function learn(memory: Memory | undefined, seen: Observation): Memory | undefined {
  const { policy, relation } = seen;
  // It protects nothing, and one forged answer would keep the domain's own policy from being believed [R-dec-09].
  if (memory === undefined && policy.mode === "none" && seen.level === "first-use") return undefined;

  const sameText = memory !== undefined && equal(memory.policy.text, policy.text);
  const asks = policy.mode !== "none";
  const replacedWithoutAsking = !asks && (relation === "other" || (memory?.replacedWithoutAsking ?? false));
  const key = seen.key ?? memory?.key;
  const hold = holdAfter(memory, seen);
  return {
    policy,
    level: sameText ? higher(memory.level, seen.level) : seen.level,
    ...(key && { key }),
    enforceUntil: enforceUntil(memory, seen, replacedWithoutAsking),
    ancestors: ancestors(memory, relation),
    replacedWithoutAsking,
    ...(hold && { hold }),
  };
}

function enforceUntil(memory: Memory | undefined, { policy, now }: Observation, replacedWithoutAsking: boolean): number {
  const before = memory?.enforceUntil ?? 0;
  switch (policy.mode) {
    case "enforce":
      return Math.max(before, now + policy.maxAge);
    case "testing":
      return before;
    case "none":
      return replacedWithoutAsking ? before : 0;
  }
}

function ancestors(memory: Memory | undefined, relation: Relation): readonly Octets[] {
  if (memory === undefined || relation === "other") return [];
  return relation === "successor" ? [...memory.ancestors, fingerprint(memory.policy.identityKey)] : memory.ancestors;
}

function holdAfter(memory: Memory | undefined, { policy, level, now }: Observation): Hold | undefined {
  if (atLeast(level, "dnssec") || (memory !== undefined && memory.hold === undefined)) return undefined;
  const before = memory?.hold;
  if (before === undefined) return { seconds: Math.min(2 * DAY, policy.maxAge), observedAt: now, lengthenedAt: now };
  const lengthens = now >= before.lengthenedAt + DAY;
  return {
    seconds: Math.min(lengthens ? 2 * before.seconds : before.seconds, policy.maxAge),
    observedAt: now,
    lengthenedAt: lengthens ? now : before.lengthenedAt,
  };
}
