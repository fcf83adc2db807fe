// The kinds of tasks of the contract, one function each.
import { claimedBy } from "../address.js";
import * as base64 from "../base64.js";
import { encodeCarrier } from "../carrier.js";
import { paddedLength } from "../content.js";
import { decide, type Decision } from "../decision.js";
import * as ed25519 from "../ed25519.js";
import { envelopeIdOf, parseEnvelope, type Envelope } from "../envelope.js";
import { Refusal, type Failure, type Stage } from "../failure.js";
import { parseHeaderBlock } from "../header.js";
import { identityOf } from "../identity.js";
import { parseKeyRecord } from "../key-record.js";
import { fingerprint, sealingKeyId, signingKeyId } from "../keys.js";
import { LEVELS } from "../levels.js";
import { interpret, lookUp, type Outcome, type TxtRecord } from "../lookup.js";
import type { Memory, SealingKey } from "../memory.js";
import { equal, latin1, type Octets } from "../octets.js";
import { parseMailbox, sameMailbox } from "../paths.js";
import { parsePolicy, type Policy } from "../policy.js";
import type { ForwardPath, ReversePath } from "../prefix.js";
import { Session } from "../receive.js";
import { recognise } from "../recognise.js";
import { provesSuccession } from "../rollover.js";
import { seal } from "../seal.js";
import { decideSender } from "../sender.js";
import { isSealingKey, sealingPublicKeyOf, suite, type Suite } from "../suites.js";
import { RecordError } from "../tags.js";
import { unseal, type Claim, type UnsealContext } from "../unseal.js";
import { heard, spoken } from "../words.js";
import { Json } from "./json.js";

export type Answer = Readonly<Record<string, unknown>>;
export type Kind = (input: Json) => Answer | Promise<Answer>;

/** What this peer cannot do, whatever the answer would be. */
export class Unsupported extends Error {}

const refuse = (stage: Stage, failure: Failure, message: string): never => {
  throw new Refusal(stage, failure, message);
};

export const KINDS: Readonly<Record<string, Kind>> = {
  identity: (input) => ({ identity: identityOf(input.get("domain").text) ?? refuse("identity", "none", "no identity") }),

  keys: async (input) => {
    const algorithm = input.get("algorithm").text;
    const privateKey = input.get("private_key").octets;
    const of = suiteOf(algorithm);
    return identifiers(of, of ? await sealingPublicKeyOf(of, privateKey) : ed25519.publicKeyOf(privateKey));
  },

  "public-keys": (input) => {
    const of = suiteOf(input.get("algorithm").text);
    const publicKey = input.get("public_key").octets;
    const good = of ? isSealingKey(of, publicKey) : ed25519.isPublicKey(publicKey);
    return good ? identifiers(of, publicKey) : refuse("public-key", "none", "the public key is not good");
  },

  words: (input) => {
    const said = heard(input.get("text").text) ?? refuse("words", "none", "no 32 words, each where it is due");
    return { fingerprint: base64.encode(said), words: spoken(said) };
  },

  signature: (input) => {
    const good = ed25519.verify(input.get("signature").octets, input.get("message").octets, input.get("public_key").octets);
    return good ? {} : refuse("signature", "none", "the signature does not verify");
  },

  "policy-record": (input) => describePolicy(readPolicy(input.get("domain").text, input.get("text").octets)),

  "key-record": (input) => {
    const record = asRefusal("key-record", () => parseKeyRecord(input.get("text").octets));
    const same =
      record.suite === input.get("suite").number && equal(sealingKeyId(record.suite, record.publicKey), input.get("key_id").octets);
    return same ? { public_key: base64.encode(record.publicKey) } : refuse("key-record", "policy-unusable", "not the key of the entry");
  },

  rollover: (input) => {
    const policy = readPolicy(input.get("domain").text, input.get("text").octets);
    const proven = provesSuccession(policy, input.get("old_key").octets, input.get("now").number);
    return proven ? {} : refuse("rollover", "none", "the statement proves nothing");
  },

  records: (input) => {
    const { policy, key } = keyToSealTo(input.get("domain").text, records(input.get("records")), input.get("now").number);
    return { mode: policy.mode, serial: policy.serial, ...describeKey(key), public_key: base64.encode(key.publicKey) };
  },

  decide: (input) => {
    const domain = input.get("domain").text;
    const pin = input.get("pin");
    const outcome = outcomeOf(domain, input.get("outcome"));
    const decision = decide({
      operator: {
        rule: input.get("rule").oneOf("require", "prefer", "never"),
        minimum: input.get("minimum").oneOf(...LEVELS),
        ...(!pin.isNull && { pin: pin.octets }),
        weakerSuite: input.get("weaker_suite").flag,
        override: input.get("override").flag,
      },
      demand: input.get("demand").flag,
      outcome,
      memory: memoryOf(domain, input.get("memory")),
      now: input.get("now").number,
    });
    if (decision.verdict === "clear") return { verdict: "clear" };
    const { source, level, key } = sealingOrRefusal(decision, "decision");
    return { verdict: "seal", source, level, ...describeKey(key) };
  },

  padding: (input) => ({ padded: paddedLength(input.get("length").number) }),

  ids: (input) => describeEnvelope(parseEnvelope(input.get("octets").octets)),

  seal: sealTask,

  unseal: unsealTask,

  smtp: smtpTask,

  recognise: (input) => {
    const own = input.get("own_domains").list.map((each) => each.text);
    return { envelope: base64.encode(recognise(input.get("message").octets, (domain) => own.includes(domain)).octets) };
  },

  ordinary: (input) => {
    const message = input.get("message").octets;
    const claimed = claimedBy(parseHeaderBlock(latin1(message), 0, message.length));
    const path = parseMailbox(input.get("reverse_path").text)?.identity;
    const inItsName = (domain: string) => claimed === "anybody" || claimed.has(domain) || domain === path;
    const demanded = input.get("sealed_only").list.find((domain) => inItsName(domain.text));
    return demanded === undefined ? {} : refuse("ordinary", "seal-demanded", `in the name of ${demanded.text}`);
  },

  inspect: (input) => {
    const { envelope, octets } = recognise(input.get("carrier").octets, () => true);
    return { ...describeEnvelope(envelope), envelope_octets: octets.length };
  },
};

/** Nothing for Ed25519. */
function suiteOf(algorithm: string): Suite | undefined {
  if (algorithm === "ed25519") return undefined;
  return suite(Number(/^suite-([0-9]+)$/.exec(algorithm)?.[1])) ?? unsupported(`algorithm ${algorithm}`);
}

function unsupported(message: string): never {
  throw new Unsupported(message);
}

function identifiers(of: Suite | undefined, publicKey: Octets): Answer {
  const public_key = base64.encode(publicKey);
  return of
    ? { public_key, key_id: base64.encode(sealingKeyId(of.number, publicKey)) }
    : { public_key, signing_key_id: base64.encode(signingKeyId(publicKey)), fingerprint: base64.encode(fingerprint(publicKey)) };
}

function asRefusal<T>(stage: Stage, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof RecordError)) throw error;
    if (stage === "key-record") return refuse(stage, "policy-unusable", error.message);
    return refuse(error.trouble === "bad-signature" ? "record-signature" : "record", "policy-unknown", error.message);
  }
}

function readPolicy(domain: string, text: Octets): Policy {
  return asRefusal("record", () => parsePolicy(domain, text));
}

function describePolicy(policy: Policy): Answer {
  const encodeOr = (octets: Octets | undefined) => (octets === undefined ? null : base64.encode(octets));
  return {
    mode: policy.mode,
    serial: policy.serial,
    expiry: policy.expiry,
    max_age: policy.maxAge,
    window: policy.window,
    identity: base64.encode(policy.identityKey),
    fingerprint: base64.encode(fingerprint(policy.identityKey)),
    signing_keys: policy.signingKeys.map((key) => ({ public_key: base64.encode(key), key_id: base64.encode(signingKeyId(key)) })),
    sealing_keys: policy.sealingKeys.map((entry) => ({
      suite: entry.suite,
      key_id: base64.encode(entry.keyId),
      public_key: encodeOr(entry.publicKey),
      selector: entry.selector ?? null,
    })),
    outgoing_always: policy.outgoingAlways,
    rollover: policy.rollover ? { old_key: base64.encode(policy.rollover.oldKey), expiry: policy.rollover.expiry } : null,
    next_identity: encodeOr(policy.nextIdentity),
  };
}

function describeKey({ suite: number, publicKey }: SealingKey): Answer {
  return { suite: number, key_id: base64.encode(sealingKeyId(number, publicKey)) };
}

function records(list: Json): readonly TxtRecord[] {
  return list.list.map((each) => ({ name: each.get("name").text, text: each.get("text").octets }));
}

function outcomeOf(domain: string, outcome: Json): Outcome {
  const kind = outcome.get("result").oneOf(
    "found", "nxdomain", "nodata", "servfail", "timeout", "bogus", "malformed", "two-records", "cname-loop", "too-large", "bad-signature",
  );
  switch (kind) {
    case "found":
      return interpret(domain, outcome.get("policy").octets, outcome.get("secure").flag, records(outcome.get("key_records")));
    case "nxdomain":
    case "nodata":
      return { kind, secure: outcome.get("secure").flag };
    default:
      return { kind };
  }
}

function memoryOf(domain: string, memory: Json): Memory | undefined {
  if (memory.isNull) return undefined;
  const key = memory.get("key");
  return {
    policy: parsePolicy(domain, memory.get("policy").octets),
    level: memory.get("level").oneOf(...LEVELS),
    ...(!key.isNull && { key: { suite: key.get("suite").number, publicKey: key.get("public_key").octets } }),
    enforceUntil: memory.get("enforce_until").number,
    ancestors: [],
    replacedWithoutAsking: false,
  };
}

type Sealing = Extract<Decision, { readonly verdict: "seal" }>;

function sealingOrRefusal(decision: Decision, stage: Stage): Sealing {
  switch (decision.verdict) {
    case "seal":
      return decision;
    case "reject":
      return refuse(stage, decision.reason === "local-rule" ? "demand-refused" : "policy-required", decision.reason);
    case "defer":
      return refuse(stage, decision.reason.startsWith("lookup-") ? "policy-unknown" : "policy-unusable", decision.reason);
    case "clear":
      throw new Error("mail that must be sealed does not go clear");
  }
}

/** The stage of a look-up that brings no policy to decide about. */
function stageOf(outcome: Outcome): Stage {
  switch (outcome.kind) {
    case "malformed":
    case "too-large":
    case "two-records":
      return "record";
    case "bad-signature":
      return "record-signature";
    default:
      return "policy";
  }
}

/** For an operator whose rule is `require`, and who remembers nothing. */
function keyToSealTo(domain: string, all: readonly TxtRecord[], now: number): { policy: Policy; key: SealingKey } {
  const outcome = lookUp(domain, all);
  const decision = decide({ operator: { rule: "require", minimum: "first-use" }, demand: false, outcome, memory: undefined, now });
  const { key } = sealingOrRefusal(decision, stageOf(outcome));
  if (outcome.kind !== "found") throw new Error("a key without a policy");
  return { policy: outcome.policy, key };
}

function describeEnvelope(envelope: Envelope): Answer {
  const { header } = envelope;
  return {
    suite: header.suite.number,
    key_id: base64.encode(header.keyId),
    recipient_domain: header.recipientDomain,
    extensions: header.extensions.map((extension) => extension.type),
    envelope_id: base64.encode(envelopeIdOf(envelope)),
  };
}

function reversePath(path: Json): ReversePath {
  return {
    mailbox: path.get("mailbox").text,
    body: path.get("body").number,
    smtputf8: path.get("smtputf8").number,
    ret: path.get("ret").number,
    envid: path.get("envid").text,
  };
}

function forwardPath(path: Json): ForwardPath {
  return { mailbox: path.get("mailbox").text, notify: path.get("notify").number, orcpt: path.get("orcpt").text };
}

async function sealTask(input: Json): Promise<Answer> {
  const recipientDomain = input.get("recipient_domain").text;
  const senderDomain = input.get("sender").get("domain").text;
  const now = input.get("now").number;
  const { key } = keyToSealTo(recipientDomain, records(input.get("records")), now);
  const blockSize = input.get("block_size");
  const random = input.get("randomness");
  const sealed = await seal({
    suite: suite(key.suite)!,
    publicKey: key.publicKey,
    recipientDomain,
    senderDomain,
    signingSeed: input.get("sender").get("signing_key").octets,
    sealedAt: now,
    reversePath: reversePath(input.get("reverse_path")),
    forwardPaths: input.get("forward_paths").list.map(forwardPath),
    message: input.get("message").octets,
    ...(!blockSize.isNull && { blockSize: blockSize.number }),
    ...(!random.isNull && {
      randomness: {
        contentKey: random.get("content_key").octets,
        encapsulation: random.get("encapsulation").octets,
        salt: random.get("salt").octets,
        deliveryId: random.get("delivery_id").octets,
      },
    }),
  });
  return {
    envelope: base64.encode(sealed.envelope),
    envelope_id: base64.encode(sealed.envelopeId),
    carrier: base64.encode(encodeCarrier(sealed.envelope, senderDomain, recipientDomain, now)),
  };
}

interface OwnKey {
  readonly domain: string;
  readonly suite: number;
  readonly keyId: Octets;
  readonly privateKey: Octets | "destroyed";
}

async function ownKeys(list: Json): Promise<readonly OwnKey[]> {
  const keys: OwnKey[] = [];
  for (const own of list.list) {
    const domain = own.get("domain").text;
    for (const each of own.get("sealing").list) {
      const of = suite(each.get("suite").number) ?? unsupported("a key of an unknown suite");
      const privateKey = each.get("private_key").octets;
      keys.push({ domain, suite: of.number, keyId: sealingKeyId(of.number, await sealingPublicKeyOf(of, privateKey)), privateKey });
    }
    for (const id of own.get("destroyed").list) keys.push({ domain, suite: 0, keyId: id.octets, privateKey: "destroyed" });
  }
  return keys;
}

/** What a gateway of a task knows, beside the recipients and the deliveries made before. */
async function gatewayOf(input: Json): Promise<Omit<UnsealContext, "recipients" | "isDelivered">> {
  const now = input.get("now").number;
  const all = records(input.get("records"));
  const domains = input.get("own_keys").list.map((each) => each.get("domain").text);
  const keys = await ownKeys(input.get("own_keys"));
  return {
    isOwn: (domain) => domains.includes(domain),
    privateKey: (domain, number, keyId) =>
      keys.find((key) => key.domain === domain && equal(key.keyId, keyId) && (key.suite === number || key.privateKey === "destroyed"))?.privateKey,
    sender: (domain) => decideSender({ operator: { minimum: "first-use" }, outcome: lookUp(domain, all), memory: undefined, now }),
    now,
    window: input.get("window").number,
    requireAligned: !input.get("require_aligned").isNull && input.get("require_aligned").flag,
  };
}

async function unsealTask(input: Json): Promise<Answer> {
  const recipients = input.get("recipients");
  const claims = input.get("claims").list;
  const unsealed = await unseal(input.get("carrier").octets, {
    ...(await gatewayOf(input)),
    recipients: recipients.isNull ? undefined : recipients.list.map((each) => each.text),
    isDelivered: (claim) => claims.some((each) => matches(each, claim)),
  });
  const { header, prefix } = unsealed;
  return {
    message: base64.encode(unsealed.message),
    sender_domain: prefix.senderDomain,
    recipient_domain: header.recipientDomain,
    suite: header.suite.number,
    key_id: base64.encode(header.keyId),
    envelope_id: base64.encode(unsealed.envelopeId),
    signing_key_id: base64.encode(prefix.signingKeyId),
    delivery_id: base64.encode(prefix.deliveryId),
    sealed_at: Number(prefix.sealedAt),
    foreign: prefix.foreign,
    reverse_path: prefix.reversePath,
    forward_paths: unsealed.forwardPaths,
    refused_recipients: unsealed.refusedRecipients,
  };
}

async function smtpTask(input: Json): Promise<Answer> {
  const gateway = await gatewayOf(input);
  const session = new Session(input.get("own_keys").list[0]!.get("domain").text, gateway.isOwn, (carrier, recipients) =>
    unseal(carrier, { ...gateway, recipients, isDelivered: () => false }),
  );
  const replies = input.get("dialog").list.map((line) => session.command(line.text));
  if (replies[replies.length - 1]!.startsWith("354")) replies.push(await session.message(input.get("carrier").octets).catch(ordinaryMail));
  const { delivery, refusal } = session;
  if (delivery !== undefined)
    return { replies, delivered: { mail_from: delivery.mailFrom, rcpt_to: delivery.rcptTo, message: base64.encode(delivery.message) } };
  if (refusal === undefined) throw new Unsupported("a dialog without a row in the table of replies");
  return { result: "refused", stage: refusal.stage, failure: refusal.failure, replies };
}

/** What becomes of it is the operator's to say [R-uns-07]. */
function ordinaryMail(error: unknown): never {
  if (error instanceof Refusal) throw new Unsupported("ordinary mail");
  throw error;
}

/** Either name of [R-uns-04]. */
function matches(recorded: Json, claim: Claim): boolean {
  if (!sameMailbox(recorded.get("recipient").text, claim.recipient)) return false;
  if (!recorded.get("envelope_id").isNull) return equal(recorded.get("envelope_id").octets, claim.envelopeId);
  return recorded.get("sender_domain").text === claim.senderDomain && equal(recorded.get("delivery_id").octets, claim.deliveryId);
}
