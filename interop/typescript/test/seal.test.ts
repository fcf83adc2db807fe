// Round trips, and each refusal of [R-uns-01] that an envelope leads to.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { BodySealer } from "../src/body.js";
import { encodeCarrier } from "../src/carrier.js";
import { closingInput, encodeContent, openingInput, paddedLength } from "../src/content.js";
import * as ed25519 from "../src/ed25519.js";
import { contentKeyInfo, encodeHeader, envelopeId } from "../src/envelope.js";
import type { Extension } from "../src/extensions.js";
import { Refusal, type Failure, type Stage } from "../src/failure.js";
import { sealingKeyId, signingKeyId } from "../src/keys.js";
import { sha256 } from "../src/labels.js";
import { ascii, concat, latin1, uint, type Octets } from "../src/octets.js";
import { encodePrefix, type Prefix } from "../src/prefix.js";
import { seal, type SealRequest } from "../src/seal.js";
import { decideSender, type SenderDecision } from "../src/sender.js";
import { hpkeSeal, sealingPublicKeyOf, suite, type Suite } from "../src/suites.js";
import { unseal, type UnsealContext } from "../src/unseal.js";
import { DAY, DOMAIN, lines, NOW, octets, policy, seed } from "./world.js";

const SENDER = "a.example";
const MESSAGE = lines("From: u@a.example", "Subject: hello", "", "Hello.");
const WINDOW = 14 * DAY;
const RECIPIENT = `v@${DOMAIN}`;

const sender = (): SenderDecision =>
  decideSender({
    operator: { minimum: "first-use" },
    outcome: { kind: "found", secure: false, policy: policy({ domain: SENDER }), keyRecord: () => "missing" },
    memory: undefined,
    now: NOW,
  });

function context(changes: Partial<UnsealContext> = {}): UnsealContext {
  return {
    isOwn: (domain) => domain === DOMAIN,
    privateKey: () => seed("sealing"),
    sender,
    now: NOW,
    window: WINDOW,
    recipients: [RECIPIENT],
    isDelivered: () => false,
    ...changes,
  };
}

async function request(number: number, changes: Partial<SealRequest> = {}): Promise<SealRequest> {
  const of = suite(number)!;
  return {
    suite: of,
    publicKey: await sealingPublicKeyOf(of, seed("sealing")),
    recipientDomain: DOMAIN,
    senderDomain: SENDER,
    signingSeed: seed("signing"),
    sealedAt: NOW,
    reversePath: { mailbox: `u@${SENDER}`, body: 2, smtputf8: 0, ret: 1, envid: "x+2B" },
    forwardPaths: [{ mailbox: RECIPIENT, notify: 6, orcpt: `rfc822;v@${DOMAIN}` }],
    message: MESSAGE,
    ...changes,
  };
}

const carrierOf = (envelope: Octets) => encodeCarrier(envelope, SENDER, DOMAIN, NOW);

async function assertRefused(carrier: Octets, stage: Stage, failure: Failure, changes: Partial<UnsealContext> = {}): Promise<void> {
  await assert.rejects(unseal(carrier, context(changes)), (error) => {
    assert.ok(error instanceof Refusal, String(error));
    assert.deepEqual([error.stage, error.failure], [stage, failure], error.message);
    return true;
  });
}

describe("round trips", () => {
  for (const number of [1, 2]) {
    for (const length of [0, 1, 16384, 65535, 65536, 200_000]) {
      it(`suite ${number}, a message of ${length} octets`, async () => {
        const message = ascii(latin1(octets("message", length)).replace(/[\0\r\n]/g, "x"));
        const asked = await request(number, { message });
        const sealed = await seal(asked);
        const unsealed = await unseal(carrierOf(sealed.envelope), context());
        assert.deepEqual(unsealed.message, message);
        assert.deepEqual(unsealed.envelopeId, sealed.envelopeId);
        assert.deepEqual(unsealed.prefix.reversePath, asked.reversePath);
        assert.deepEqual(unsealed.forwardPaths, asked.forwardPaths);
        assert.equal(unsealed.prefix.foreign, false);
      });
    }
  }

  it("blocks of one octet, across the borders of which CRLF stands", async () => {
    const sealed = await seal(await request(1, { blockSize: 1 }));
    assert.deepEqual((await unseal(carrierOf(sealed.envelope), context())).message, MESSAGE);
  });

  it("[R-seal-02] flags a reverse-path of another domain, but not the null one", async () => {
    const path = (mailbox: string) => ({ mailbox, body: 0, smtputf8: 0, ret: 0, envid: "" });
    const foreign = await seal(await request(1, { reversePath: path("u@z.example") }));
    assert.equal((await unseal(carrierOf(foreign.envelope), context())).prefix.foreign, true);
    const none = await seal(await request(1, { reversePath: path("") }));
    assert.equal((await unseal(carrierOf(none.envelope), context())).prefix.foreign, false);
  });

  it("[R-con-02] seals paths that are not ASCII with SMTPUTF8", async () => {
    const paths = {
      reversePath: { mailbox: `ü@${SENDER}`, body: 0, smtputf8: 1, ret: 0, envid: "" },
      forwardPaths: [{ mailbox: `ä@${DOMAIN}`, notify: 0, orcpt: "" }],
    };
    const sealed = await seal(await request(1, paths));
    const unsealed = await unseal(carrierOf(sealed.envelope), context({ recipients: undefined }));
    assert.deepEqual(unsealed.prefix.reversePath, paths.reversePath);
    assert.deepEqual(unsealed.forwardPaths, paths.forwardPaths);
  });

  it("[R-car-03] the length follows from the lengths alone", async () => {
    const one = await seal(await request(1, { message: MESSAGE }));
    const other = await seal(await request(1, { message: MESSAGE.map((octet) => (octet === 0x65 ? 0x66 : octet)) }));
    assert.equal(one.envelope.length, other.envelope.length);
    assert.notDeepEqual(one.envelopeId, other.envelopeId);
  });
});

describe("what is not sealed", () => {
  const cases: Readonly<Record<string, readonly [Partial<SealRequest>, Failure]>> = {
    "a forward-path of another domain": [{ forwardPaths: [{ mailbox: "v@c.example", notify: 0, orcpt: "" }] }, "path-unfit"],
    "a forward-path at an address literal": [{ forwardPaths: [{ mailbox: "v@[1.2.3.4]", notify: 0, orcpt: "" }] }, "path-unfit"],
    "no forward-path": [{ forwardPaths: [] }, "path-unfit"],
    "a bad ORCPT": [{ forwardPaths: [{ mailbox: RECIPIENT, notify: 0, orcpt: "x" }] }, "path-unfit"],
    "a bad ENVID": [{ reversePath: { mailbox: "", body: 0, smtputf8: 0, ret: 0, envid: "a b" } }, "path-unfit"],
    "a reverse-path that is not ASCII, without SMTPUTF8": [{ reversePath: { mailbox: "ü@a.example", body: 0, smtputf8: 0, ret: 0, envid: "" } }, "path-unfit"],
    "a bad reverse-path": [{ reversePath: { mailbox: "u", body: 0, smtputf8: 0, ret: 0, envid: "" } }, "path-unfit"],
    "too many forward-paths": [{ forwardPaths: Array(1001).fill({ mailbox: RECIPIENT, notify: 0, orcpt: "" }) }, "path-unfit"],
    "a bare LF": [{ message: ascii("a\nb") }, "bare-line-end"],
  };
  for (const [what, [changes, failure]] of Object.entries(cases)) {
    it(what, async () => {
      const asked = await request(1, changes);
      await assert.rejects(seal(asked), (error) => error instanceof Refusal && error.failure === failure);
    });
  }
});

/** An envelope in which anything can be wrong, and everything else is right. */
interface Forgery {
  readonly extensions?: readonly Extension[];
  readonly prefix?: Partial<Prefix>;
  readonly encodedPrefix?: (prefix: Octets) => Octets;
  readonly opening?: string;
  readonly message?: Octets;
  readonly content?: (content: Octets) => Octets;
  readonly envelope?: (envelope: Octets) => Octets;
}

async function forge(forgery: Forgery = {}): Promise<Octets> {
  const of: Suite = suite(1)!;
  const publicKey = await sealingPublicKeyOf(of, seed("sealing"));
  const header = encodeHeader(of, sealingKeyId(1, publicKey), DOMAIN, forgery.extensions);
  const { enc, sealed } = await hpkeSeal(of, publicKey, contentKeyInfo(header), seed("content key"));
  const id = envelopeId(header, enc, sealed);
  const body = new BodySealer(seed("content key"), octets("salt", 24), id);
  const prefix = encodePrefix({
    type: 1,
    senderDomain: SENDER,
    signingKeyId: signingKeyId(ed25519.publicKeyOf(seed("signing"))),
    sealedAt: BigInt(NOW),
    foreign: false,
    deliveryId: octets("delivery id", 16),
    reversePath: { mailbox: `u@${SENDER}`, body: 0, smtputf8: 0, ret: 0, envid: "" },
    forwardPaths: [{ mailbox: RECIPIENT, notify: 0, orcpt: "" }],
    extensions: [],
    ...forgery.prefix,
  });
  let signatures = 0;
  const content = encodeContent(
    (forgery.encodedPrefix ?? ((octets) => octets))(prefix),
    (octets) => openingInput(id, body.head, octets),
    forgery.message ?? MESSAGE,
    65535,
    (input) => ed25519.sign(input, seed(signatures++ === 0 ? (forgery.opening ?? "signing") : "signing")),
  );
  const sealedBody = body.seal((forgery.content ?? ((octets) => octets))(content));
  return carrierOf((forgery.envelope ?? ((octets) => octets))(concat(header, enc, sealed, sealedBody)));
}

const flip = (at: number) => (octets: Octets) => octets.map((octet, i) => (i === (at < 0 ? octets.length + at : at) ? octet ^ 1 : octet));
const extension = (type: number, critical: boolean): Extension => ({ type, critical, value: ascii("x") });
const path = (mailbox: string, notify = 0, orcpt = "") => ({ mailbox, notify, orcpt });
const HEADER = 8 + 1 + 2 + 32 + 1 + DOMAIN.length + 2;

/** The last octet of `sealed_at` in the forged content. */
const SEALED_AT = 3 + 1 + 1 + SENDER.length + 32 + 7;

/** Where the blocks of the forged content begin. */
const blocksAt = (content: Octets) => 3 + ((content[0]! << 16) | (content[1]! << 8) | content[2]!) + 64;

/** One block that is longer than all that is left, of octets that are fit. */
function unendedBlock(content: Octets): Octets {
  const start = content.subarray(0, blocksAt(content));
  return concat(start, uint(0xffff, 2), new Uint8Array(content.length - start.length - 2).fill(0x78));
}

/** Signs the content anew after a change between the signatures. */
function closed(content: Octets, change: (between: Octets) => Octets): Octets {
  const start = blocksAt(content);
  const between = change(content.slice(start, -64));
  const closing = ed25519.sign(closingInput(content.slice(start - 64, start), sha256(between)), seed("signing"));
  return concat(content.subarray(0, start), between, closing);
}

describe("[R-uns-01] each check", () => {
  it("passes what is right", async () => {
    assert.deepEqual((await unseal(await forge({ extensions: [extension(1, false), extension(2, false)] }), context())).message, MESSAGE);
  });

  const cases: Readonly<Record<string, readonly [Forgery, Stage, Failure, Partial<UnsealContext>?]>> = {
    "1: a critical extension": [{ extensions: [extension(1, true)] }, "limits", "carrier-unsupported"],
    "1: extensions out of order, though one is critical": [{ extensions: [extension(2, true), extension(1, false)] }, "limits", "carrier-malformed"],
    "1: one type twice": [{ extensions: [extension(1, false), extension(1, false)] }, "limits", "carrier-malformed"],
    "1: a header of 4,097 octets": [{ extensions: [{ type: 1, critical: false, value: new Uint8Array(4097 - HEADER - 5) }] }, "limits", "carrier-malformed"],
    "1: cut in its header": [{ envelope: (octets) => octets.subarray(0, 30) }, "limits", "unauthentic"],
    "1: cut in its sealed key": [{ envelope: (octets) => octets.subarray(0, HEADER + 32 + 47) }, "limits", "unauthentic"],
    "2: a domain of others": [{}, "domain", "carrier-foreign", { isOwn: () => false }],
    "3: an unknown key": [{}, "key", "unknown-key", { privateKey: () => undefined }],
    "3: a destroyed key": [{}, "key", "destroyed-key", { privateKey: () => "destroyed" }],
    "4: another header": [{ extensions: [extension(1, false)], envelope: flip(HEADER + 1) }, "hpke", "unauthentic"],
    "4: another private key": [{}, "hpke", "unauthentic", { privateKey: () => seed("other") }],
    "4: another sealed key": [{ envelope: flip(HEADER + 32) }, "hpke", "unauthentic"],
    "5: another salt": [{ envelope: flip(HEADER + 80) }, "commitment", "unauthentic"],
    "5: another commitment": [{ envelope: flip(HEADER + 80 + 24) }, "commitment", "unauthentic"],
    "5: cut in its commitment": [{ envelope: (octets) => octets.subarray(0, HEADER + 80 + 55) }, "commitment", "unauthentic"],
    "6: another chunk": [{ envelope: flip(-1) }, "body", "unauthentic"],
    "6: no chunk": [{ envelope: (octets) => octets.subarray(0, HEADER + 80 + 56) }, "body", "unauthentic"],
    "6: another content type": [{ prefix: { type: 3 } }, "prefix", "carrier-unsupported"],
    "6: a sender domain that is no identity": [{ prefix: { senderDomain: "A.example" } }, "prefix", "carrier-malformed"],
    "6: octets after the extensions": [{ encodedPrefix: (octets) => concat(octets, new Uint8Array(1)) }, "prefix", "carrier-malformed"],
    "6: ends early": [{ encodedPrefix: (octets) => octets.subarray(0, -1) }, "prefix", "carrier-malformed"],
    "6: a critical extension in the prefix": [{ prefix: { extensions: [extension(1, true)] } }, "prefix", "carrier-unsupported"],
    "6: NOTIFY=NEVER,SUCCESS": [{ prefix: { forwardPaths: [path(RECIPIENT, 3)] } }, "prefix", "carrier-malformed"],
    "6: a control character": [{ prefix: { forwardPaths: [path(`\x7f${RECIPIENT}`)] } }, "prefix", "carrier-malformed"],
    "6: an unknown body type": [{ prefix: { reversePath: { mailbox: "", body: 3, smtputf8: 0, ret: 0, envid: "" } } }, "prefix", "carrier-malformed"],
    "6: a prefix longer than the content": [{ content: (octets) => concat(uint(octets.length, 3), octets.subarray(3)) }, "prefix", "carrier-malformed"],
    "7: no policy of the sender": [{}, "sender-policy", "sender-unknown", { sender: () => ({ verdict: "defer" }) }],
    "7: no signing key": [{}, "sender-policy", "unauthentic", { sender: () => ({ verdict: "refuse" }) }],
    "7: another signing key": [{ prefix: { signingKeyId: octets("id", 32) } }, "sender-policy", "unauthentic"],
    "7: another signing key than memory has": [
      { prefix: { signingKeyId: octets("id", 32) } }, "sender-policy", "sender-unknown",
      { sender: () => ({ verdict: "verify", source: "memory", level: "remembered", policy: policy({ domain: SENDER }) }) },
    ],
    "8: the opening signature by another key": [{ opening: "other" }, "opening", "unauthentic"],
    "8: another prefix than was signed": [{ content: flip(SEALED_AT) }, "opening", "unauthentic"],
    "9: a receipt": [{ prefix: { type: 2 } }, "type", "carrier-unsupported"],
    "9: a forward-path of another domain": [{ prefix: { forwardPaths: [path(RECIPIENT), path("v@c.example")] } }, "paths", "carrier-malformed"],
    "9: a forward-path of no grammar": [{ prefix: { forwardPaths: [path(`a b@${DOMAIN}`)] } }, "paths", "carrier-malformed"],
    "9: a forward-path that is not ASCII, without SMTPUTF8": [{ prefix: { forwardPaths: [path(RECIPIENT), path(`ü@${DOMAIN}`)] } }, "paths", "carrier-malformed"],
    "9: a reverse-path that is not ASCII, without SMTPUTF8": [
      { prefix: { reversePath: { mailbox: `ü@${SENDER}`, body: 0, smtputf8: 0, ret: 0, envid: "" } } }, "paths", "carrier-malformed",
    ],
    "9: a bad ORCPT": [{ prefix: { forwardPaths: [path(RECIPIENT, 0, "rfc822")] } }, "paths", "carrier-malformed"],
    "9: a reverse-path of another domain": [{ prefix: { reversePath: { mailbox: "u@z.example", body: 0, smtputf8: 0, ret: 0, envid: "" } } }, "reverse-path", "sender-path"],
    "10: too old": [{ prefix: { sealedAt: BigInt(NOW - WINDOW - 1) } }, "time", "too-old"],
    "10: in the future": [{ prefix: { sealedAt: BigInt(NOW + 3601) } }, "time", "in-future"],
    "11: delivered before": [{}, "delivered", "delivered-before", { isDelivered: () => true }],
    "12: no recipient was signed": [{}, "recipients", "not-signed-recipient", { recipients: [`w@${DOMAIN}`] }],
    "14: a bare LF": [{ message: ascii("a\nb") }, "bytes", "bare-line-end"],
    "14: a CR at the end": [{ message: ascii("a\r") }, "bytes", "bare-line-end"],
    "15: a block that does not end": [{ content: unendedBlock }, "blocks", "unauthentic"],
    "14: a NUL in a block that does not end": [{ content: (octets) => unendedBlock(octets).fill(0, -1) }, "bytes", "bare-line-end"],
    "15: padding that is not zero": [{ content: (octets) => closed(octets, flip(-1)) }, "padding", "unauthentic"],
    "15: padding that is too short": [{ content: (octets) => closed(octets, (between) => between.subarray(0, -1)) }, "padding", "unauthentic"],
    "15: padding that is too long": [{ content: (octets) => closed(octets, (between) => concat(between, new Uint8Array(1))) }, "padding", "unauthentic"],
    "15: another closing signature": [{ content: flip(-1) }, "closing", "unauthentic"],
    "15: another message than was signed": [{ content: (octets) => flip(blocksAt(octets) + 2)(octets) }, "closing", "unauthentic"],
  };
  for (const [what, [forgery, stage, failure, changes]] of Object.entries(cases)) {
    it(what, async () => assertRefused(await forge(forgery), stage, failure, changes));
  }

  it("10: the bounds of time pass", async () => {
    for (const sealedAt of [NOW - WINDOW, NOW + 3600]) await unseal(await forge({ prefix: { sealedAt: BigInt(sealedAt) } }), context());
  });

  it("15: a body whose last chunk is missing", async () => {
    const long = ascii("x".repeat(40000));
    await assertRefused(await forge({ message: long, envelope: (octets) => octets.subarray(0, HEADER + 80 + 56 + 2 * (16384 + 16)) }), "body", "unauthentic");
  });
});

describe("[R-uns-03], [R-uns-04] recipients", () => {
  const forwardPaths = ["v", "w", "x"].map((local) => path(`${local}@${DOMAIN}`));
  it("are those of the outer envelope that were signed and not delivered before", async () => {
    const recipients = [`v@${DOMAIN.toUpperCase()}`, `w@${DOMAIN}`, `V@${DOMAIN}`];
    const isDelivered = (claim: { recipient: string }) => claim.recipient.startsWith("w@");
    const unsealed = await unseal(await forge({ prefix: { forwardPaths } }), context({ recipients, isDelivered }));
    assert.deepEqual(unsealed.forwardPaths, [forwardPaths[0]]);
    assert.deepEqual(unsealed.refusedRecipients, [`V@${DOMAIN}`]);
  });
  it("are all that were signed, if the receiver is set so", async () => {
    const unsealed = await unseal(await forge({ prefix: { forwardPaths } }), context({ recipients: undefined }));
    assert.deepEqual(unsealed.forwardPaths, forwardPaths);
  });
});

describe("[R-con-05]", () => {
  it("a content has the padded length", async () => {
    for (const length of [0, 5000, 70000]) {
      const { envelope } = await seal(await request(1, { message: ascii("x".repeat(length)) }));
      const body = envelope.length - HEADER - 80 - 56;
      const content = body - 16 * Math.ceil((body + 1) / (16384 + 16));
      assert.equal(paddedLength(content), content);
      assert.ok(content >= Math.max(4096, length));
    }
  });
});
