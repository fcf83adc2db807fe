// The one function that decides about a message to a domain [R-dec-02].
import { atLeast, fits, levelOf, levelOfMemory, relationOf, type Level, type Relation } from "./levels.js";
import type { FailedLookup, Outcome } from "./lookup.js";
import { enforces, lasting, sealingKeyOf, type Memory, type SealingKey } from "./memory.js";
import type { Octets } from "./octets.js";
import { timing, type Policy } from "./policy.js";
import { chooseKey, type KeyReason } from "./sealing-keys.js";

export interface OperatorPolicy {
  readonly rule: "require" | "prefer" | "never";
  readonly minimum: Level;
  /** The fingerprint that was compared out of band. */
  readonly pin?: Octets;
  /** [R-dec-17] */
  readonly weakerSuite?: boolean;
  /** Whether an override lasts [R-dec-18]. */
  readonly override?: boolean;
}

export interface Question {
  readonly operator: OperatorPolicy;
  readonly demand: boolean;
  readonly outcome: Outcome;
  readonly memory: Memory | undefined;
  readonly now: number;
}

export type ClearReason = "no-policy" | "withdrawn" | "testing-key-unusable" | "local-rule" | "override";
export type DeferReason =
  | `lookup-${Exclude<FailedLookup, "too-large">}`
  | "lookup-oversize"
  | "policy-expired"
  | "policy-not-yet-valid"
  | "identity-changed"
  | "pin-mismatch"
  | "serial-back"
  | KeyReason
  | "enforce-remembered"
  | "policy-vanished"
  | "withdrawal-unsupported"
  | "below-minimum-level"
  | "denial-below-minimum-level"
  | "pinned-without-policy"
  | "memory-not-pinned";
export type RejectReason = "no-policy" | "withdrawn" | "local-rule";

export type Decision =
  | { readonly verdict: "seal"; readonly source: "dns" | "memory"; readonly level: Level; readonly key: SealingKey }
  | { readonly verdict: "clear"; readonly reason: ClearReason }
  | { readonly verdict: "defer"; readonly reason: DeferReason }
  | { readonly verdict: "reject"; readonly reason: RejectReason };

/** A decision on its way through the tables of {{exceptions}}. */
interface Cell {
  readonly decision: Decision;
  /** What decides: a policy at its level, or a denial [R-dec-16]. */
  readonly basis?: { readonly level: Level } | { readonly denialSecure: boolean };
  /** The less preferred key that an exception may use instead of waiting [R-dec-17]. */
  readonly otherKey?: Decision;
}

export function decide(question: Question): Decision {
  const { operator, demand } = question;
  // It stands in place of all else [R-dec-04].
  if (operator.rule === "never") return demand ? reject("local-rule") : { verdict: "clear", reason: "local-rule" };
  const asked = { ...question, memory: lasting(question.memory, question.now) };
  return except(withMinimum(withPin(tableCell(asked), asked), operator.minimum), asked);
}

const defer = (reason: DeferReason): Decision => ({ verdict: "defer", reason });
const reject = (reason: RejectReason): Decision => ({ verdict: "reject", reason });

/** The "+" of a column: nothing goes clear. */
const mustSeal = ({ operator, demand }: Question) => operator.rule === "require" || demand;

/** {{decision-table}}, with {{level-table}} or, with a pin, the first rows of {{pin-table}}. */
function tableCell(question: Question): Cell {
  const { outcome } = question;
  switch (outcome.kind) {
    case "found":
      return foundCell(question, outcome.policy, outcome.secure);
    case "nxdomain":
    case "nodata":
      return deniedCell(question, outcome.secure, "no-policy");
    default:
      return withoutPolicy(question, outcome.kind === "too-large" ? "lookup-oversize" : `lookup-${outcome.kind}`);
  }
}

function foundCell(question: Question, policy: Policy, secure: boolean): Cell {
  const { memory, now, operator } = question;
  const when = timing(policy, now);
  // [R-dec-08]
  if (when !== "in-time" && policy.mode === "none") return deniedCell(question, secure, "withdrawn");
  if (when !== "in-time") return withoutPolicy(question, `policy-${when}`);
  const relation = relationOf(policy, memory, now);
  const level = levelOf(policy, relation, secure, memory, operator.pin);
  if (level === undefined) return withoutPolicy(question, operator.pin === undefined ? "identity-changed" : "pin-mismatch");
  if (memory !== undefined && policy.serial < memory.policy.serial) return withoutPolicy(question, "serial-back");
  return policy.mode === "none" ? withdrawnCell(question, relation, level, secure) : keyCell(question, policy, level);
}

/** A policy in force with mode `none`. */
function withdrawnCell(question: Question, relation: Relation, level: Level, secure: boolean): Cell {
  const { memory, now, operator } = question;
  const basis = { level };
  // Whoever forges DNS may show one of the domain's own, older than what it publishes [R-dec-28].
  if (operator.pin !== undefined && !secure) return { decision: defer("withdrawal-unsupported") };
  // It does not lift what another identity key has asked for [R-dec-11].
  const lifts = relation !== "other" && !(memory?.replacedWithoutAsking ?? false);
  if (!lifts && enforces(memory, now)) return { decision: defer("enforce-remembered") };
  return { decision: mustSeal(question) ? reject("withdrawn") : { verdict: "clear", reason: "withdrawn" }, basis };
}

/** A policy in force that asks for sealed mail [R-dec-14], [R-dec-15]. */
function keyCell(question: Question, policy: Policy, level: Level): Cell {
  const { memory, now, outcome } = question;
  if (outcome.kind !== "found") throw new Error("no policy was found");
  const choice = chooseKey(policy, outcome.keyRecord, memory);
  const basis = { level };
  const sealTo = (key: SealingKey): Decision => ({ verdict: "seal", source: "dns", level, key });
  if (choice.kind === "preferred") return { decision: sealTo(choice.key), basis };

  const mayGoClear = policy.mode === "testing" && !mustSeal(question) && !enforces(memory, now) && question.operator.pin === undefined;
  if (choice.kind === "other") {
    const otherKey = sealTo(choice.key);
    return mayGoClear ? { decision: otherKey, basis } : { decision: defer(choice.reason), basis, otherKey };
  }
  return { decision: mayGoClear ? { verdict: "clear", reason: "testing-key-unusable" } : defer(choice.reason), basis };
}

/** DNS denies a policy, or what it has is no policy any more. */
function deniedCell(question: Question, secure: boolean, reason: "no-policy" | "withdrawn"): Cell {
  const { memory, now } = question;
  if (sealingKeyOf(memory, now) !== undefined) return withoutPolicy(question, "policy-vanished");
  if (enforces(memory, now)) return { decision: defer("policy-vanished") };
  // After a denial nothing goes clear, and nothing is refused for good, with a pin.
  if (question.operator.pin !== undefined) return { decision: defer("pinned-without-policy") };
  return { decision: mustSeal(question) ? reject(reason) : { verdict: "clear", reason }, basis: { denialSecure: secure } };
}

/** No policy in force: memory seals if it can, else the message waits [R-dec-06]. */
function withoutPolicy({ memory, now, operator }: Question, reason: DeferReason): Cell {
  const key = sealingKeyOf(memory, now);
  if (memory === undefined || key === undefined) return { decision: defer(reason) };
  const level = levelOfMemory(memory, operator.pin);
  return { decision: { verdict: "seal", source: "memory", level, key }, basis: { level } };
}

/** {{pin-table}}, what becomes of a cell `memory`; the cells that a pin forbids otherwise are not made. */
function withPin(cell: Cell, { memory, operator }: Question): Cell {
  const { decision } = cell;
  const fromMemory = decision.verdict === "seal" && decision.source === "memory";
  if (operator.pin === undefined || memory === undefined || !fromMemory || fits(memory, operator.pin)) return cell;
  return { decision: defer("memory-not-pinned") };
}

/** {{minimum-table}} */
function withMinimum(cell: Cell, minimum: Level): Cell {
  const { basis } = cell;
  if (basis === undefined) return cell;
  if ("level" in basis) return atLeast(basis.level, minimum) ? cell : { decision: defer("below-minimum-level") };
  const stands = minimum === "dnssec" ? basis.denialSecure : minimum !== "pinned";
  return stands ? cell : { decision: defer("denial-below-minimum-level") };
}

/** {{exception-table}} */
function except({ decision, otherKey }: Cell, question: Question): Decision {
  const { weakerSuite, override } = question.operator;
  if (decision.verdict !== "defer") return decision;
  if (otherKey !== undefined && (weakerSuite || override)) return otherKey;
  return override && !mustSeal(question) ? { verdict: "clear", reason: "override" } : decision;
}
