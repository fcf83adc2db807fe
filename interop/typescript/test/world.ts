// Parties with fixed keys, and the records that they publish.
import { createHash } from "node:crypto";
import * as base64 from "../src/base64.js";
import * as ed25519 from "../src/ed25519.js";
import { sealingKeyId } from "../src/keys.js";
import { ascii, concat, type Octets } from "../src/octets.js";
import { parsePolicy, signPolicy, type Mode, type Policy } from "../src/policy.js";
import { rolloverInput } from "../src/rollover.js";

export const NOW = 1_800_000_000;
export const DOMAIN = "b.example";
export const DAY = 86400;

/** 32 octets that follow from a name. */
export function seed(name: string): Octets {
  return new Uint8Array(createHash("sha256").update(name).digest());
}

export function octets(name: string, length: number): Octets {
  return new Uint8Array(createHash("shake256", { outputLength: length }).update(name).digest());
}

/** A point of the curve that is not of small order. */
export const SUITE_1_KEY = concat(new Uint8Array([9]), new Uint8Array(31));
/** No good key, but a test that seals nothing takes it for one. */
export const SUITE_2_KEY = octets("suite 2", 1216);

export const inline = (key: Octets) => `1:${base64.encode(key)}`;
export const listed = (key: Octets) => `2:s1:${base64.encode(sealingKeyId(2, key))}`;

export interface PolicyOptions {
  readonly domain?: string;
  readonly mode?: Mode;
  readonly serial?: number;
  readonly expiry?: number;
  readonly maxAge?: number;
  readonly identity?: string;
  readonly signing?: readonly string[];
  readonly keys?: string;
  readonly rolloverFrom?: string;
  readonly next?: Octets;
  readonly extra?: string;
}

export function policyText(options: PolicyOptions = {}): Octets {
  const { domain = DOMAIN, mode = "enforce", serial = NOW - DAY, maxAge = 30 * DAY, identity = "identity" } = options;
  const expiry = options.expiry ?? serial + 30 * DAY;
  const tags = [
    "v=MTASEAL1",
    `m=${mode}`,
    `n=${serial}`,
    `x=${expiry}`,
    `a=${maxAge}`,
    `i=${base64.encode(ed25519.publicKeyOf(seed(identity)))}`,
  ];
  const signing = options.signing ?? ["signing"];
  if (signing.length > 0) tags.push(`g=${signing.map((name) => base64.encode(ed25519.publicKeyOf(seed(name)))).join(",")}`);
  tags.push(`k=${options.keys ?? inline(SUITE_1_KEY)}`);
  if (options.rolloverFrom !== undefined) tags.push(`r=${statement(domain, options.rolloverFrom, identity, serial, expiry)}`);
  if (options.next !== undefined) tags.push(`p=${base64.encode(options.next)}`);
  if (options.extra !== undefined) tags.push(options.extra);
  return signPolicy(domain, `${tags.join("; ")}; `, seed(identity));
}

export function statement(domain: string, from: string, to: string, serial: number, expiry: number): string {
  const oldKey = ed25519.publicKeyOf(seed(from));
  const input = rolloverInput({ domain, oldKey, newKey: ed25519.publicKeyOf(seed(to)), serial, expiry });
  return `${base64.encode(oldKey)}:${expiry}:${base64.encode(ed25519.sign(input, seed(from)))}`;
}

export function policy(options: PolicyOptions = {}): Policy {
  return parsePolicy(options.domain ?? DOMAIN, policyText(options));
}

export const lines = (...text: readonly string[]) => ascii(text.map((line) => `${line}\r\n`).join(""));
