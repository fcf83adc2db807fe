// Vectors of others for the primitives, in test-vectors/foreign: our keys, and the library under the suites.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import type { Octets } from "../src/octets.js";
import { sealingPublicKeyOf, suite, type Suite } from "../src/suites.js";

type Entry = Readonly<Record<string, unknown>>;

function entries(file: string): readonly Entry[] {
  return JSON.parse(readFileSync(new URL(`../../../../test-vectors/foreign/${file}`, import.meta.url), "ascii")) as readonly Entry[];
}

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
});
