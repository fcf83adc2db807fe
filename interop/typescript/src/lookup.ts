// Outcomes of a look-up [R-dns-02], and looking up in a given set of TXT records.
import { keyFromRecords, type KeyTrouble } from "./key-record.js";
import type { Octets } from "./octets.js";
import { parsePolicy, POLICY_VERSION, selectRecord, type Policy, type SealingKeyEntry } from "./policy.js";
import { RecordError } from "./tags.js";

export type FailedLookup =
  | "servfail"
  | "timeout"
  | "bogus"
  | "malformed"
  | "two-records"
  | "cname-loop"
  | "too-large"
  | "bad-signature";

/** The key of a listed entry, or why it cannot be had. */
export type KeyLookup = (entry: SealingKeyEntry) => Octets | KeyTrouble;

export type Outcome =
  | { readonly kind: "found"; readonly secure: boolean; readonly policy: Policy; readonly keyRecord: KeyLookup }
  | { readonly kind: "nxdomain" | "nodata"; readonly secure: boolean }
  | { readonly kind: FailedLookup };

export interface TxtRecord {
  readonly name: string;
  readonly text: Octets;
}

/** Looks up in records as insecure answers; a name that is not there does not exist. */
export function lookUp(domain: string, records: readonly TxtRecord[]): Outcome {
  const texts = textsAt(records, `_mta-seal.${domain}`);
  if (texts.length === 0) return { kind: "nxdomain", secure: false };
  const selected = selectRecord(POLICY_VERSION, texts);
  if (selected.kind === "none") return { kind: "nodata", secure: false };
  if (selected.kind === "two") return { kind: "two-records" };
  return interpret(domain, selected.text, false, records);
}

export function interpret(domain: string, text: Octets, secure: boolean, records: readonly TxtRecord[]): Outcome {
  try {
    const policy = parsePolicy(domain, text);
    return { kind: "found", secure, policy, keyRecord: keyLookup(domain, records) };
  } catch (error) {
    if (error instanceof RecordError) return { kind: error.trouble };
    throw error;
  }
}

function keyLookup(domain: string, records: readonly TxtRecord[]): KeyLookup {
  return (entry) => keyFromRecords(entry, textsAt(records, `${entry.selector}._mta-seal.${domain}`));
}

function textsAt(records: readonly TxtRecord[], name: string): readonly Octets[] {
  return records.filter((record) => record.name === name).map((record) => record.text);
}
