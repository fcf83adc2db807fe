import * as ed25519 from "./ed25519.js";
import { labelled } from "./labels.js";
import { ascii, equal, uint, vector, type Octets } from "./octets.js";
import type { Policy } from "./policy.js";
import { parseBase64, parseDecimal } from "./tags.js";

/** A statement that an identity key is succeeded by that of the policy which carries it [R-rec-08]. */
export interface Rollover {
  readonly oldKey: Octets;
  readonly expiry: number;
  readonly signature: Octets;
}

export function parseRollover(text: string): Rollover | undefined {
  const [old, until, signed, ...more] = text.split(":");
  if (old === undefined || until === undefined || signed === undefined || more.length > 0) return undefined;
  const oldKey = parseBase64(old, 32);
  const expiry = parseDecimal(until, 12);
  const signature = parseBase64(signed, 64);
  return oldKey && expiry !== undefined && signature ? { oldKey, expiry, signature } : undefined;
}

export interface RolloverSubject {
  readonly domain: string;
  readonly oldKey: Octets;
  readonly newKey: Octets;
  readonly serial: number;
  readonly expiry: number;
}

export function rolloverInput(of: RolloverSubject): Octets {
  return labelled("rollover", vector(ascii(of.domain), 1, 253), of.oldKey, of.newKey, uint(of.serial, 8), uint(of.expiry, 8));
}

/** Whether the policy carries a statement of that old key which proves something. */
export function provesSuccession(policy: Policy, oldKey: Octets, now: number): boolean {
  const statement = policy.rollover;
  if (statement === undefined || !equal(statement.oldKey, oldKey) || now >= statement.expiry) return false;
  const subject = {
    domain: policy.domain,
    oldKey,
    newKey: policy.identityKey,
    serial: policy.serial,
    expiry: statement.expiry,
  };
  return ed25519.verify(statement.signature, rolloverInput(subject), oldKey);
}
