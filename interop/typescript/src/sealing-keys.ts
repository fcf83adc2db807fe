// Which key of a policy in force is sealed to [R-dec-13], [R-dec-15].
import { sealingKeyId } from "./keys.js";
import type { KeyLookup } from "./lookup.js";
import type { Memory, SealingKey } from "./memory.js";
import { equal } from "./octets.js";
import type { Policy, SealingKeyEntry } from "./policy.js";

export type KeyReason = "key-no-suite" | "key-missing" | "key-unreachable" | "key-malformed" | "key-mismatch";

export type KeyChoice =
  | { readonly kind: "preferred"; readonly key: SealingKey }
  /** The most preferred cannot be had, but a less preferred one can. */
  | { readonly kind: "other"; readonly key: SealingKey; readonly reason: KeyReason }
  | { readonly kind: "none"; readonly reason: KeyReason };

export function chooseKey(policy: Policy, keyRecord: KeyLookup, memory: Memory | undefined): KeyChoice {
  const [first, ...others] = firstOfEachSuite(policy.sealingKeys).map((entry) => keyOf(entry, keyRecord, memory));
  if (first === undefined) return { kind: "none", reason: "key-no-suite" };
  if (typeof first !== "string") return { kind: "preferred", key: first };
  const other = others.find((each): each is SealingKey => typeof each !== "string");
  return other === undefined ? { kind: "none", reason: first } : { kind: "other", key: other, reason: first };
}

/** Of several keys of one suite, a sender uses the first [R-rec-03]. */
function firstOfEachSuite(entries: readonly SealingKeyEntry[]): readonly SealingKeyEntry[] {
  return entries.filter((entry, i) => entries.findIndex((each) => each.suite === entry.suite) === i);
}

function keyOf(entry: SealingKeyEntry, keyRecord: KeyLookup, memory: Memory | undefined): SealingKey | KeyReason {
  if (entry.publicKey !== undefined) return { suite: entry.suite, publicKey: entry.publicKey };
  const remembered = memory?.key;
  if (remembered?.suite === entry.suite && equal(sealingKeyId(remembered.suite, remembered.publicKey), entry.keyId)) return remembered;
  const found = keyRecord(entry);
  return typeof found === "string" ? `key-${found}` : { suite: entry.suite, publicKey: found };
}
