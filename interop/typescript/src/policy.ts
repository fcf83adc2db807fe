import * as base64 from "./base64.js";
import * as ed25519 from "./ed25519.js";
import { sealingKeyId } from "./keys.js";
import { labelled } from "./labels.js";
import { ascii, vector, type Octets } from "./octets.js";
import { parseRollover, type Rollover } from "./rollover.js";
import { isSealingKey, suite } from "./suites.js";
import { bears, malformed, parseBase64, parseDecimal, parseSuite, parseTags, RecordError, type Tag } from "./tags.js";

export const POLICY_VERSION = "v=MTASEAL1";

export type Mode = "enforce" | "testing" | "none";

/** A key of a known suite that a policy lists [R-rec-03]. */
export interface SealingKeyEntry {
  readonly suite: number;
  readonly keyId: Octets;
  /** Inline: the key itself. */
  readonly publicKey?: Octets;
  /** Listed: where its key record is. */
  readonly selector?: string;
}

export interface Policy {
  readonly domain: string;
  readonly text: Octets;
  readonly mode: Mode;
  readonly serial: number;
  readonly expiry: number;
  readonly maxAge: number;
  readonly window: number;
  readonly identityKey: Octets;
  readonly signingKeys: readonly Octets[];
  readonly sealingKeys: readonly SealingKeyEntry[];
  readonly outgoingAlways: boolean;
  readonly rollover?: Rollover;
  readonly nextIdentity?: Octets;
}

/** How far the clock of a publisher may be ahead [R-rec-06]. */
const CLOCK_TOLERANCE = 3600;
const TEXT_LIMIT = 2048;
const DEFAULT_WINDOW = 1209600;
const KEYS_LIMIT = 8;

export type Selection = { readonly kind: "none" } | { readonly kind: "two" } | { readonly kind: "one"; readonly text: Octets };

/** Picks the record of a version out of the TXT records at a name, each with its strings joined [R-rec-01]. */
export function selectRecord(version: string, texts: readonly Octets[]): Selection {
  const candidates = texts.filter((text) => bears(version, text));
  if (candidates.length > 1) return { kind: "two" };
  const text = candidates[0];
  return text === undefined ? { kind: "none" } : { kind: "one", text };
}

/** The policy, if the record is of its form and its signature verifies under its own identity key. */
export function parsePolicy(domain: string, text: Octets): Policy {
  const tags = parseTags(POLICY_VERSION, text, TEXT_LIMIT);
  const last = tags[tags.length - 1];
  if (last?.name !== "s") throw malformed("the last tag is not s");
  const signature = valid(last, (value) => parseBase64(value, 64));
  const policy = interpret(domain, text, tags);
  if (!ed25519.verify(signature, policyInput(domain, text.subarray(0, last.at)), policy.identityKey))
    throw new RecordError("bad-signature", "the signature does not verify");
  return policy;
}

/** [R-rec-05] */
export function policyInput(domain: string, signedText: Octets): Octets {
  return labelled("policy", vector(ascii(`_mta-seal.${domain}`), 1, 255), vector(signedText, 1, 0xffff));
}

function interpret(domain: string, text: Octets, tags: readonly Tag[]): Policy {
  const find = (name: string) => tags.find((tag) => tag.name === name);
  const optional = <T>(name: string, parse: (value: string) => T | undefined): T | undefined => {
    const tag = find(name);
    return tag && valid(tag, parse);
  };
  const required = <T>(name: string, parse: (value: string) => T | undefined): T => {
    const value = optional(name, parse);
    if (value === undefined) throw malformed(`tag ${name} is missing`);
    return value;
  };

  const mode = required("m", (value) => (value === "enforce" || value === "testing" || value === "none" ? value : undefined));
  const serial = required("n", (value) => parseDecimal(value, 12));
  const expiry = required("x", (value) => above(serial, parseDecimal(value, 12)));
  const maxAge = required("a", (value) => within(0, parseDecimal(value, 12), 31557600));
  const window = optional("w", (value) => within(3600, parseDecimal(value, 12), 2592000)) ?? DEFAULT_WINDOW;
  const identityKey = required("i", parseEd25519Key);
  const needKeys = mode === "none" ? optional : required;
  const signingKeys = needKeys("g", parseSigningKeys) ?? [];
  const sealingKeys = needKeys("k", parseSealingKeys) ?? [];
  const outgoingAlways = optional("o", (value) => value === "always" || undefined) ?? false;
  const statement = optional("r", parseRollover);
  const nextIdentity = optional("p", (value) => parseBase64(value, 32));
  return {
    domain, text, mode, serial, expiry, maxAge, window, identityKey, signingKeys, sealingKeys, outgoingAlways,
    ...(statement && { rollover: statement }),
    ...(nextIdentity && { nextIdentity }),
  };
}

/** A tag whose value is not of its form is an error of the record, even if it is not required [R-rec-02]. */
function valid<T>(tag: Tag, parse: (value: string) => T | undefined): T {
  const value = parse(tag.value);
  if (value === undefined) throw malformed(`the value of tag ${tag.name} is not of its form`);
  return value;
}

const above = (bound: number, value: number | undefined) => (value !== undefined && value > bound ? value : undefined);

const within = (least: number, value: number | undefined, most: number) =>
  value !== undefined && value >= least && value <= most ? value : undefined;

function parseEd25519Key(text: string): Octets | undefined {
  const key = parseBase64(text, 32);
  return key && ed25519.isPublicKey(key) ? key : undefined;
}

function list<T>(text: string, parse: (entry: string) => T | undefined): readonly T[] | undefined {
  const entries = text.split(",");
  if (entries.length > KEYS_LIMIT) return undefined;
  const values = entries.map(parse);
  return values.every((value): value is Awaited<T> & T => value !== undefined) ? (values as T[]) : undefined;
}

function parseSigningKeys(text: string): readonly Octets[] | undefined {
  return list(text, parseEd25519Key);
}

const UNKNOWN = Symbol("unknown suite");
const SELECTOR = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** Entries of unknown suites count towards the limit and are skipped [R-rec-03]. */
function parseSealingKeys(text: string): readonly SealingKeyEntry[] | undefined {
  return list(text, parseSealingKey)?.filter((entry): entry is SealingKeyEntry => entry !== UNKNOWN);
}

function parseSealingKey(text: string): SealingKeyEntry | typeof UNKNOWN | undefined {
  const parts = text.split(":");
  const number = parseSuite(parts[0]!);
  const selector = parts.length === 3 ? parts[1]! : undefined;
  const value = parts.length === 2 || parts.length === 3 ? parts[parts.length - 1]! : "";
  const octets = base64.decode(value);
  if (number === undefined || octets === undefined || octets.length === 0) return undefined;
  if (selector !== undefined && !SELECTOR.test(selector)) return undefined;

  const known = suite(number);
  if (known === undefined) return UNKNOWN;
  const inline = known.npk === 32;
  if (inline !== (selector === undefined)) return undefined;
  if (inline) return isSealingKey(known, octets) ? { suite: number, keyId: sealingKeyId(number, octets), publicKey: octets } : undefined;
  return octets.length === 32 ? { suite: number, keyId: octets, selector: selector! } : undefined;
}

export type Timing = "in-time" | "expired" | "not-yet-valid";

/** [R-rec-06] */
export function timing(policy: Policy, now: number): Timing {
  if (now >= policy.expiry) return "expired";
  return now < policy.serial - CLOCK_TOLERANCE ? "not-yet-valid" : "in-time";
}

/** Signs the text of a policy that lacks its last tag: everything up to the "s". */
export function signPolicy(domain: string, unsigned: string, identitySeed: Octets): Octets {
  const signature = ed25519.sign(policyInput(domain, ascii(unsigned)), identitySeed);
  return ascii(`${unsigned}s=${base64.encode(signature)}`);
}
