import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as base64 from "../src/base64.js";
import { keyFromRecords, parseKeyRecord } from "../src/key-record.js";
import { sealingKeyId } from "../src/keys.js";
import { lookUp } from "../src/lookup.js";
import { ascii, concat, latin1, type Octets } from "../src/octets.js";
import { parsePolicy, selectRecord, signPolicy, timing } from "../src/policy.js";
import { provesSuccession } from "../src/rollover.js";
import { sealingPublicKeyOf, suite } from "../src/suites.js";
import { RecordError, type Trouble } from "../src/tags.js";
import * as ed25519 from "../src/ed25519.js";
import { DOMAIN, inline, listed, NOW, octets, policy, policyText, seed, SUITE_1_KEY, SUITE_2_KEY } from "./world.js";

const ED = base64.encode(ed25519.publicKeyOf(seed("identity")));
const SMALL_ORDER = base64.encode(concat(new Uint8Array([1]), new Uint8Array(31)));
const GOOD = new Map([
  ["m", "enforce"], ["n", "1800000000"], ["x", "1800000001"], ["a", "86400"], ["i", ED], ["g", ED], ["k", inline(SUITE_1_KEY)],
]);

/** A well-signed policy of these tags, with some replaced, added, or (with null) left out. */
function text(changes: Readonly<Record<string, string | null>> = {}): Octets {
  const tags = new Map<string, string | null>([...GOOD, ...Object.entries(changes)]);
  return sign(`v=MTASEAL1; ${[...tags].filter(([, value]) => value !== null).map(([name, value]) => `${name}=${value}; `).join("")}`);
}

const sign = (unsigned: string) => signPolicy(DOMAIN, unsigned, seed("identity"));

function assertRefused(record: Octets, trouble: Trouble, what?: string): void {
  assert.throws(() => parsePolicy(DOMAIN, record), (error) => error instanceof RecordError && error.trouble === trouble, what);
}

describe("[R-rec-01] which record is the policy", () => {
  const isPolicy = (record: string) => selectRecord("v=MTASEAL1", [ascii(record)]).kind === "one";
  it("takes the version followed by the end, a semicolon or white space", () => {
    for (const record of ["v=MTASEAL1", "v=MTASEAL1;", "v=MTASEAL1 ;", "v=MTASEAL1\t; m=none"]) assert.ok(isPolicy(record), record);
    for (const record of ["v=MTASEAL10", "v=MTASEAL2;", "V=MTASEAL1;", " v=MTASEAL1;", "v =MTASEAL1", ""]) assert.ok(!isPolicy(record), record);
  });

  it("NXDOMAIN, NODATA and two records are kept apart", () => {
    const name = `_mta-seal.${DOMAIN}`;
    const kind = (...texts: readonly Octets[]) => lookUp(DOMAIN, texts.map((each) => ({ name, text: each }))).kind;
    assert.equal(kind(), "nxdomain");
    assert.equal(kind(ascii("other")), "nodata");
    assert.equal(kind(ascii("other"), text()), "found");
    assert.equal(kind(text(), ascii("v=MTASEAL1")), "two-records");
  });
});

describe("[R-rec-02] to [R-rec-04] the form of a policy", () => {
  const accepted: Readonly<Record<string, Octets>> = {
    "as usual": text(),
    "without white space": sign(latin1(text()).replace(/ /g, "").replace(/s=.*/, "")),
    "with tabs around everything": sign(latin1(text()).replace(/s=[^;]*$/, "").replaceAll(";", "\t; \t").replace(/([mnxaigk])=/g, "$1 \t=\t ")),
    "without keys in mode none": text({ m: "none", g: null, k: null }),
    "an unknown tag, empty": text({ zz: "" }),
    "a reserved tag with anything": text({ h: "!#x=y:z," }),
    "the longest name": text({ abcdefgh: "1" }),
    "bounds of numbers": text({ n: "0", x: "999999999999", a: "31557600", w: "3600" }),
    "the largest window": text({ w: "2592000", a: "0" }),
    "eight keys": text({ k: Array(8).fill(inline(SUITE_1_KEY)).join(","), g: Array(8).fill(ED).join(",") }),
    "unknown suites": text({ k: `3:AAAA,65535:a-b:AAAA,${listed(SUITE_2_KEY)}` }),
    "a statement that proves nothing": text({ r: `${SMALL_ORDER}:1:${base64.encode(new Uint8Array(64))}` }),
    "the promise": text({ o: "always" }),
  };
  for (const [what, record] of Object.entries(accepted)) it(`accepts ${what}`, () => void parsePolicy(DOMAIN, record));

  it("accepts one semicolon at the end", () => {
    for (const end of [";", " ;", "\t; "]) parsePolicy(DOMAIN, concat(text(), ascii(end)));
    assertRefused(concat(text(), ascii(";;")), "malformed");
  });

  const rejected: Readonly<Record<string, Octets>> = {
    "two tags of a name": sign(latin1(text()).replace(/s=[^;]*$/, "zz=1; zz=1; ")),
    "the version twice": sign(latin1(text()).replace(/s=[^;]*$/, "v=MTASEAL1; ")),
    "a tag without =": sign(latin1(text()).replace(/s=[^;]*$/, "zz; ")),
    "a tag without name": sign(latin1(text()).replace(/s=[^;]*$/, "=1; ")),
    "an empty tag": sign(latin1(text()).replace(/s=[^;]*$/, "; ")),
    "a name of nine": text({ abcdefghi: "1" }),
    "a name that begins with a digit": text({ "1a": "1" }),
    "white space in a value": text({ zz: "a b" }),
    "a control character": text({ zz: "\x07" }),
    "an octet above 127": text({ zz: "\xe4" }),
    "no version but white space around =": ascii(latin1(text()).replace("v=", "v =")),
    "s not last": concat(text(), ascii("; zz=1")),
    "no signature": ascii(latin1(text()).replace(/; s=.*/, "")),
    "an upper-case signature tag": ascii(latin1(text()).replace("; s=", "; S=")),
    "a signature of 63 octets": ascii(latin1(text()).replace(/s=.*/, `s=${base64.encode(new Uint8Array(63))}`)),
    "another mode": text({ m: "Enforce" }),
    "a leading zero": text({ n: "01800000000" }),
    "a sign": text({ a: "+1" }),
    "an expiry of 13 digits": text({ x: "1000000000000" }),
    "an expiry not above the serial": text({ x: "1800000000" }),
    "max_age above its bound": text({ a: "31557601" }),
    "a window below its bound": text({ w: "3599" }),
    "a window above its bound": text({ w: "2592001" }),
    "an empty window": text({ w: "" }),
    "an identity of 31 octets": text({ i: base64.encode(new Uint8Array(31)) }),
    "an identity of small order": text({ i: SMALL_ORDER }),
    "a signing key of small order": text({ g: `${ED},${SMALL_ORDER}` }),
    "an empty list": text({ g: "" }),
    "an empty entry": text({ k: `${inline(SUITE_1_KEY)},` }),
    "nine keys": text({ k: Array(9).fill("3:AAAA").join(",") }),
    "suite 0": text({ k: "0:AAAA" }),
    "suite 65536": text({ k: "65536:AAAA" }),
    "a suite with a leading zero": text({ k: "01:AAAA" }),
    "a selector in upper case": text({ k: "3:A:AAAA" }),
    "a selector that ends in -": text({ k: "3:a-:AAAA" }),
    "a selector of 64": text({ k: `3:${"a".repeat(64)}:AAAA` }),
    "suite 1 listed": text({ k: `1:a:${base64.encode(SUITE_1_KEY)}` }),
    "suite 2 inline": text({ k: `2:${base64.encode(SUITE_2_KEY)}` }),
    "a key id of 31 octets": text({ k: `2:a:${base64.encode(new Uint8Array(31))}` }),
    "a sealing key of small order": text({ k: `1:${base64.encode(new Uint8Array(32))}` }),
    "base64 without padding": text({ i: ED.replace("=", "") }),
    "base64 with bits that do not count": text({ i: ED.replace(/.=$/, (end) => `${end === "A=" ? "B" : nextDigit(end[0]!)}=`) }),
    "another promise": text({ o: "sometimes" }),
    "a statement of another form": text({ r: `${ED}:01:${base64.encode(new Uint8Array(64))}` }),
    "a next identity of 33 octets": text({ p: base64.encode(new Uint8Array(33)) }),
  };
  for (const [what, record] of Object.entries(rejected)) it(`refuses ${what}`, () => assertRefused(record, "malformed"));

  for (const name of ["m", "n", "x", "a", "i", "g", "k"]) it(`refuses a policy without ${name}`, () => assertRefused(text({ [name]: null }), "malformed"));

  it("takes 2,048 octets and no more", () => {
    const filled = (length: number) => text({ zz: "z".repeat(length - text({ zz: "" }).length) });
    assert.equal(parsePolicy(DOMAIN, filled(2048)).text.length, 2048);
    assertRefused(filled(2049), "too-large");
  });
});

/** The next digit of the alphabet, which differs in the lowest bit or so. */
function nextDigit(digit: string): string {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  return alphabet[alphabet.indexOf(digit) + 1]!;
}

describe("[R-rec-05] the signature", () => {
  it("is over the name, and the text as received", () => {
    assert.throws(() => parsePolicy("c.example", text()), { trouble: "bad-signature" });
    assertRefused(ascii(latin1(text()).replace("m=enforce", "m=testing")), "bad-signature");
    assertRefused(ascii(latin1(text()).replace("; m", ";  m")), "bad-signature");
    assertRefused(signPolicy(DOMAIN, latin1(text()).replace(/s=[^;]*$/, ""), seed("other")), "bad-signature");
  });
});

describe("[R-rec-06] the time", () => {
  it("is from the serial less an hour to the expiry", () => {
    const held = policy({ serial: NOW, expiry: NOW + 10 });
    assert.deepEqual([NOW - 3601, NOW - 3600, NOW + 9, NOW + 10].map((now) => timing(held, now)), ["not-yet-valid", "in-time", "in-time", "expired"]);
  });
});

describe("[R-rec-07] key records", () => {
  it("are taken if suite and key id are those of the entry", async () => {
    const publicKey = await sealingPublicKeyOf(suite(2)!, seed("sealing"));
    const record = (number: number, key: Octets) => ascii(`v=MTASEALKEY1; k=${number}; p=${base64.encode(key)}`);
    const entry = { suite: 2, keyId: sealingKeyId(2, publicKey), selector: "s1" };
    assert.deepEqual(keyFromRecords(entry, [ascii("other"), record(2, publicKey)]), publicKey);
    assert.equal(keyFromRecords(entry, []), "missing");
    assert.equal(keyFromRecords(entry, [record(2, publicKey), ascii("v=MTASEALKEY1")]), "malformed");
    assert.equal(keyFromRecords(entry, [record(1, SUITE_1_KEY)]), "mismatch");
    assert.equal(keyFromRecords({ ...entry, keyId: octets("id", 32) }, [record(2, publicKey)]), "mismatch");
    assert.equal(keyFromRecords(entry, [record(2, new Uint8Array(1216).fill(255))]), "malformed");
    for (const bad of ["k=2", "p=AAAA", "k=02; p=AAAA", "k=2; p=A", "k=2; k=2; p=AAAA", "k=2; p=AAAA;;"])
      assert.throws(() => parseKeyRecord(ascii(`v=MTASEALKEY1; ${bad}`)), { trouble: "malformed" }, bad);
    const long = concat(record(2, publicKey), ascii(`; zz=${"z".repeat(4096)}`));
    assert.throws(() => parseKeyRecord(long), { trouble: "too-large" });
  });
});

describe("[R-rec-08] a statement", () => {
  const next = policy({ identity: "other", rolloverFrom: "identity" });
  const oldKey = ed25519.publicKeyOf(seed("identity"));
  it("proves the succession until it expires, and of the key that signed it only", () => {
    assert.ok(provesSuccession(next, oldKey, NOW));
    assert.ok(!provesSuccession(next, oldKey, next.expiry));
    assert.ok(!provesSuccession(next, ed25519.publicKeyOf(seed("third")), NOW));
    assert.ok(!provesSuccession(policy({ identity: "other" }), oldKey, NOW));
  });
  it("is of the policy that carries it", () => {
    const moved = { ...next, serial: next.serial + 1 };
    assert.ok(!provesSuccession(moved, oldKey, NOW));
    assert.ok(!provesSuccession({ ...next, domain: "c.example" }, oldKey, NOW));
    assert.ok(!provesSuccession({ ...next, identityKey: ed25519.publicKeyOf(seed("third")) }, oldKey, NOW));
  });
  it("does not spoil a policy if it is not good", () => void policyText({ extra: `r=${ED}:1:${base64.encode(new Uint8Array(64))}` }));
});
