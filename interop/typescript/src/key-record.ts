import * as base64 from "./base64.js";
import { sealingKeyId } from "./keys.js";
import { equal, type Octets } from "./octets.js";
import { selectRecord, type SealingKeyEntry } from "./policy.js";
import { isSealingKey, suite } from "./suites.js";
import { malformed, parseSuite, parseTags, RecordError } from "./tags.js";

const KEY_VERSION = "v=MTASEALKEY1";
const TEXT_LIMIT = 4096;

export interface KeyRecord {
  readonly suite: number;
  readonly publicKey: Octets;
}

/** [R-rec-07] */
export function parseKeyRecord(text: Octets): KeyRecord {
  const tags = parseTags(KEY_VERSION, text, TEXT_LIMIT);
  const value = (name: string) => tags.find((tag) => tag.name === name)?.value;
  const number = parseSuite(value("k") ?? "");
  const publicKey = base64.decode(value("p") ?? "");
  if (number === undefined || publicKey === undefined || publicKey.length === 0) throw malformed("k or p is missing or not of its form");
  const known = suite(number);
  if (known && !isSealingKey(known, publicKey)) throw malformed("not a public key of its suite");
  return { suite: number, publicKey };
}

/** Why a key cannot be had; the names are those of the reasons of {{replies}}. */
export type KeyTrouble = "missing" | "unreachable" | "malformed" | "mismatch";

/** The key that the TXT records at the name of a listed entry hold, if it is the one that the policy lists. */
export function keyFromRecords(entry: SealingKeyEntry, texts: readonly Octets[]): Octets | KeyTrouble {
  const selected = selectRecord(KEY_VERSION, texts);
  if (selected.kind === "none") return "missing";
  if (selected.kind === "two") return "malformed";
  try {
    const record = parseKeyRecord(selected.text);
    const same = record.suite === entry.suite && equal(sealingKeyId(record.suite, record.publicKey), entry.keyId);
    return same ? record.publicKey : "mismatch";
  } catch (error) {
    if (error instanceof RecordError) return "malformed";
    throw error;
  }
}
