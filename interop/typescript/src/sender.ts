// Which signing keys of a sender domain count [R-dec-19].
import { atLeast, fits, levelOf, levelOfMemory, relationOf, type Level } from "./levels.js";
import type { Outcome } from "./lookup.js";
import { lasting, type Memory } from "./memory.js";
import type { Octets } from "./octets.js";
import { timing, type Policy } from "./policy.js";

export interface SenderPolicy {
  readonly minimum: Level;
  readonly pin?: Octets;
}

export interface SenderQuestion {
  readonly operator: SenderPolicy;
  readonly outcome: Outcome;
  /** A memory of its own, never that for sending [R-dec-12]. */
  readonly memory: Memory | undefined;
  readonly now: number;
}

export type SenderDecision =
  | { readonly verdict: "verify"; readonly source: "dns" | "memory"; readonly level: Level; readonly policy: Policy }
  | { readonly verdict: "refuse" }
  | { readonly verdict: "defer" };

const DEFER: SenderDecision = { verdict: "defer" };

/** {{sender-table}}, with the tables that it refers to. */
export function decideSender(question: SenderQuestion): SenderDecision {
  const { operator, outcome, now } = question;
  const memory = lasting(question.memory, now);
  if (outcome.kind !== "found" || timing(outcome.policy, now) !== "in-time") return fromMemory(memory, question);
  const { policy, secure } = outcome;
  const level = levelOf(policy, relationOf(policy, memory, now), secure, memory, operator.pin);
  if (level === undefined || (memory !== undefined && policy.serial < memory.policy.serial)) return fromMemory(memory, question);
  if (!atLeast(level, operator.minimum)) return DEFER;
  return policy.signingKeys.length === 0 ? { verdict: "refuse" } : { verdict: "verify", source: "dns", level, policy };
}

function fromMemory(memory: Memory | undefined, { operator, now }: SenderQuestion): SenderDecision {
  if (memory === undefined || now >= memory.policy.expiry || memory.policy.signingKeys.length === 0) return DEFER;
  if (operator.pin !== undefined && !fits(memory, operator.pin)) return DEFER;
  const level = levelOfMemory(memory, operator.pin);
  return atLeast(level, operator.minimum) ? { verdict: "verify", source: "memory", level, policy: memory.policy } : DEFER;
}
