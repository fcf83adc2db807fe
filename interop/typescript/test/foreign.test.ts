// Vectors of others for the primitives, in test-vectors/foreign: our keys, and the library under the suites.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import * as ed25519 from "../src/ed25519.js";
import type { Octets } from "../src/octets.js";
import { sealingPublicKeyOf, suite, type Suite } from "../src/suites.js";

type Entry = Readonly<Record<string, unknown>>;

function read(file: string): unknown {
  return JSON.parse(readFileSync(new URL(`../../../../test-vectors/foreign/${file}`, import.meta.url), "ascii"));
}

const entries = (file: string): readonly Entry[] => read(file) as readonly Entry[];

/** Signatures whose points are odd in one way or another. */
interface OddPoints {
  readonly flags: readonly string[];
  readonly keys: readonly string[];
  /** Number, index of the key, signature, message, indices of the flags. */
  readonly vectors: readonly (readonly [number, number, string, string, readonly number[]])[];
}

/** What [R-sig-01] leaves to a point: a part of small order, in a canonical encoding, with the equation holding as it is. */
const ALLOWED: ReadonlySet<string | undefined> = new Set(["low_order_component_A", "low_order_component_R"]);

function octets(entry: Entry, name: string): Octets {
  const text = entry[name];
  assert.ok(typeof text === "string", name);
  return new Uint8Array(Buffer.from(text, "hex"));
}

const buffer = (of: Octets): ArrayBuffer => new Uint8Array(of).buffer;

/** The shared secret by the KEM of a suite, from a private key and `enc`. */
async function decapsulated({ hpke }: Suite, privateKey: Octets, enc: Octets): Promise<Octets> {
  const recipientKey = await hpke.kem.deserializePrivateKey(buffer(privateKey));
  return new Uint8Array(await hpke.kem.decap({ recipientKey, enc: buffer(enc) }));
}

/** `enc` and the shared secret, from a public key and the randomness. */
async function encapsulated({ hpke }: Suite, publicKey: Octets, randomness: Octets): Promise<readonly [Octets, Octets]> {
  const recipientPublicKey = await hpke.kem.deserializePublicKey(buffer(publicKey));
  const { enc, sharedSecret } = await hpke.kem.encap({ recipientPublicKey, ekm: buffer(randomness) });
  return [new Uint8Array(enc), new Uint8Array(sharedSecret)];
}

/** Key pair, encapsulation, decapsulation. */
async function agrees(of: Suite, made: { readonly [name in "privateKey" | "publicKey" | "randomness" | "enc" | "secret"]: Octets }): Promise<void> {
  assert.deepEqual(await sealingPublicKeyOf(of, made.privateKey), made.publicKey);
  assert.deepEqual(await encapsulated(of, made.publicKey, made.randomness), [made.enc, made.secret]);
  assert.deepEqual(await decapsulated(of, made.privateKey, made.enc), made.secret);
}

describe("vectors of others", () => {
  it("of HPKE, in RFC 9180", async () => {
    const of = suite(1)!;
    const all = entries("hpke-rfc9180.json");
    assert.equal(all.length, 1);
    for (const each of all) {
      await agrees(of, {
        privateKey: octets(each, "skRm"),
        publicKey: octets(each, "pkRm"),
        randomness: octets(each, "ikmE"),
        enc: octets(each, "enc"),
        secret: octets(each, "shared_secret"),
      });
      const recipientKey = await of.hpke.kem.deserializePrivateKey(buffer(octets(each, "skRm")));
      const context = await of.hpke.createRecipientContext({ recipientKey, enc: buffer(octets(each, "enc")), info: buffer(octets(each, "info")) });
      const encryptions = each["encryptions"] as readonly Entry[];
      assert.equal(encryptions.length, 3);
      for (const one of encryptions) {
        const opened = await context.open(buffer(octets(one, "ct")), buffer(octets(one, "aad")));
        assert.deepEqual(new Uint8Array(opened), octets(one, "pt"));
      }
    }
  });

  it("of X-Wing, in its draft and in HPKE", async () => {
    const ofDraft = entries("x-wing.json").map((each) => ({
      privateKey: octets(each, "seed"),
      publicKey: octets(each, "pk"),
      randomness: octets(each, "eseed"),
      enc: octets(each, "ct"),
      secret: octets(each, "ss"),
    }));
    const ofHpke = entries("hpke-pq.json").map((each) => ({
      privateKey: octets(each, "skRm"),
      publicKey: octets(each, "pkRm"),
      randomness: octets(each, "ikmE"),
      enc: octets(each, "enc"),
      secret: octets(each, "shared_secret"),
    }));
    assert.equal(ofDraft.length + ofHpke.length, 4);
    for (const each of [...ofDraft, ...ofHpke]) await agrees(suite(2)!, each);
  });

  it("of Ed25519, with the points of CCTV", () => {
    const { flags, keys, vectors } = read("cctv-ed25519.json") as OddPoints;
    const bytes = (text: string): Octets => new Uint8Array(Buffer.from(text, "hex"));
    let accepted = 0;
    for (const [at, [number, key, signature, message, odd]] of vectors.entries()) {
      assert.equal(number, at);
      const verifies = ed25519.verify(bytes(signature), new TextEncoder().encode(message), bytes(keys[key]!));
      assert.equal(verifies, odd.every((flag) => ALLOWED.has(flags[flag])), `${number}`);
      if (verifies) accepted += 1;
    }
    assert.deepEqual([vectors.length, accepted], [914, 43]);
  });
});
