import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as base64 from "../src/base64.js";
import { paddedLength } from "../src/content.js";
import * as ed25519 from "../src/ed25519.js";
import { identityOf, isIdentity } from "../src/identity.js";
import { isFit, LineEnds } from "../src/line-ends.js";
import { ascii, concat, EndsEarlyError, FormError, Reader, uint, vector } from "../src/octets.js";
import { isEnvid, isOrcpt, parseMailbox, sameMailbox } from "../src/paths.js";
import { hpkeOpen, hpkeSeal, isSealingKey, sealingPublicKeyOf, suite } from "../src/suites.js";
import { seed } from "./world.js";

describe("vectors of RFC 8446", () => {
  it("have a length field as wide as their greatest length", () => {
    assert.deepEqual(vector(ascii("a"), 0, 255), new Uint8Array([1, 97]));
    assert.deepEqual(vector(ascii("a"), 0, 256), new Uint8Array([0, 1, 97]));
    assert.deepEqual(vector(ascii("a"), 0, 65536), new Uint8Array([0, 0, 1, 97]));
    assert.throws(() => vector(ascii("a"), 2, 3), FormError);
    assert.throws(() => new Reader(new Uint8Array([5])).vector(0, 4), FormError);
    assert.throws(() => new Reader(new Uint8Array([5])).vector(0, 5), EndsEarlyError);
    assert.throws(() => uint(256, 1), FormError);
  });
});

describe("[R-id-01]", () => {
  it("maps what people write", () => {
    assert.equal(identityOf("Example.ORG"), "example.org");
    assert.equal(identityOf("Bücher.example"), "xn--bcher-kva.example");
    assert.equal(identityOf("faß.example"), "xn--fa-hia.example");
    assert.equal(identityOf("a_b.example"), "a_b.example");
    assert.equal(identityOf("a.0x1"), "a.0x1");
  });
  it("refuses what is no identity", () => {
    const long = `${"a".repeat(63)}.`.repeat(4);
    for (const domain of ["", "localhost", "example.", ".example", "a..b", "-a.example", "a-.example", "a.1", "1.2.3.4", "a b.example",
      `${"a".repeat(64)}.example`, `${long}a`, "a.example\u0000", "[1.2.3.4]", "é"]) assert.equal(identityOf(domain), undefined, domain);
    assert.ok(isIdentity(long.slice(0, -3)));
    assert.ok(!isIdentity("Example.org"));
  });
});

describe("base64", () => {
  it("is canonical", () => {
    for (const text of ["", "AA==", "AAA=", "AAAA"]) assert.ok(base64.decode(text), text);
    for (const text of ["A", "AA", "AA=", "AAA", "AB==", "AAB=", "AA==AAAA", "AAAA\r\n", "AA-_", "===="]) assert.equal(base64.decode(text), undefined, text);
    assert.deepEqual(base64.decodeText(" AA\r\n\tA= \r\n"), new Uint8Array(2));
    for (const text of ["AAAA!", "!", "AA!AA", "AA\u0100A", "AA\u0141A", "AAA=\u0000", "AAAA=", "AA== "]) assert.equal(base64.decode(text), undefined, text);
  });
  it("has no limit of its own", () => {
    const octets = new Uint8Array(12 * 1024 * 1024 + 1).fill(0xd3);
    assert.ok(Buffer.from(base64.decode(base64.encode(octets))!).equals(octets));
    const lines = base64.encodeLines(octets);
    assert.ok(Buffer.from(base64.decodeText(Buffer.from(lines).toString("latin1"))!).equals(octets));
    assert.equal(base64.decode(`${base64.encode(octets)}!`), undefined);
  });
});

describe("[R-sig-01]", () => {
  const message = ascii("message");
  const key = ed25519.publicKeyOf(seed("key"));
  const signature = ed25519.sign(message, seed("key"));
  const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;
  const littleEndian = (value: bigint) => uint(value, 32).reverse();

  it("takes a signature, and nothing that differs", () => {
    assert.ok(ed25519.verify(signature, message, key));
    for (const at of [0, 31, 32, 63]) assert.ok(!ed25519.verify(signature.map((octet, i) => (i === at ? octet ^ 1 : octet)), message, key));
    assert.ok(!ed25519.verify(signature, ascii("Message"), key));
    assert.ok(!ed25519.verify(signature, message, ed25519.publicKeyOf(seed("other"))));
    assert.ok(!ed25519.verify(signature.subarray(0, 63), message, key));
  });

  it("refuses S not below the order", () => {
    const s = signature.slice(32).reduceRight((sum, octet) => (sum << 8n) | BigInt(octet), 0n);
    assert.ok(!ed25519.verify(concat(signature.subarray(0, 32), littleEndian(s + ORDER)), message, key));
  });

  it("refuses keys and points of small order, and encodings that are not canonical", () => {
    const P = 2n ** 255n - 19n;
    const smallOrder = [littleEndian(0n), littleEndian(1n), littleEndian(P - 1n)];
    for (const point of [...smallOrder, littleEndian(P), littleEndian(P + 1n), littleEndian(2n ** 255n - 1n), littleEndian(2n)])
      assert.ok(!ed25519.isPublicKey(point));
    // Under such a key every S would do.
    const identity = smallOrder[1]!;
    assert.ok(!ed25519.verify(concat(identity, littleEndian(0n)), message, identity));
  });
});

describe("suites", () => {
  for (const number of [1, 2]) {
    it(`suite ${number} opens what it has sealed, for that key and info only`, async () => {
      const of = suite(number)!;
      const publicKey = await sealingPublicKeyOf(of, seed("sealing"));
      assert.equal(publicKey.length, of.npk);
      assert.ok(isSealingKey(of, publicKey));
      const info = ascii("info");
      const { enc, sealed } = await hpkeSeal(of, publicKey, info, seed("content"));
      assert.equal(enc.length, of.nenc);
      assert.equal(sealed.length, 48);
      assert.deepEqual(await hpkeOpen(of, seed("sealing"), enc, info, sealed), seed("content"));
      assert.equal(await hpkeOpen(of, seed("other"), enc, info, sealed), undefined);
      assert.equal(await hpkeOpen(of, seed("sealing"), enc, ascii("other"), sealed), undefined);
    });
  }

  it("[R-suite-04] refuses keys of small order, out of range, or of another length", async () => {
    const p = 2n ** 255n - 19n;
    const smallOrder = [0n, 1n, p - 1n, p, p + 1n, 2n ** 255n].map((value) => uint(value, 32).reverse());
    for (const key of smallOrder) assert.ok(!isSealingKey(suite(1)!, key));
    const good = await sealingPublicKeyOf(suite(2)!, seed("sealing"));
    assert.ok(!isSealingKey(suite(2)!, concat(good.subarray(0, 1184), smallOrder[0]!)));
    assert.ok(!isSealingKey(suite(2)!, concat(new Uint8Array([0x01, 0x0d]), good.subarray(2))), "3329");
    assert.ok(!isSealingKey(suite(2)!, good.subarray(1)));
    assert.equal(suite(0), undefined);
    assert.equal(suite(3), undefined);
  });
});

describe("[R-con-05]", () => {
  it("pads as Padmé does, from 4,096 on", () => {
    const expected = new Map([[0, 4096], [4096, 4096], [4097, 4352], [5000, 5120], [65536, 65536], [65537, 67584], [1_000_000, 1_015_808]]);
    for (const [length, padded] of expected) assert.equal(paddedLength(length), padded);
  });
});

describe("[R-seal-07]", () => {
  it("finds a bare CR, a bare LF and a NUL, also across borders", () => {
    for (const text of ["", "a", "a\r\nb\r\n", "\r\n"]) assert.ok(isFit(ascii(text)), JSON.stringify(text));
    for (const text of ["\n", "a\nb", "a\rb", "\r", "\r\r\n", "a\0", "\r\n\n"]) assert.ok(!isFit(ascii(text)), JSON.stringify(text));
    const across = new LineEnds();
    assert.ok(across.accept(ascii("a\r")) && across.accept(ascii("\n")) && across.end());
    const broken = new LineEnds();
    assert.ok(broken.accept(ascii("a\r")) && !broken.accept(ascii("b")));
  });
});

describe("[R-con-02] paths and parameters", () => {
  it("of their grammar", () => {
    for (const mailbox of ["a@b.example", "a.b+c@B.Example", '"a b"@b.example', '"\\""@b.example', '""@b.example', "ü@bücher.example", "a@[1.2.3.4]",
      "a@[IPv6:::1]", "a@b_c.example", `${"a".repeat(255)}@b.example`]) assert.ok(parseMailbox(mailbox), mailbox);
    for (const envid of ["", "a+2B", "QQ=314159".replace("=", "+3D")]) assert.ok(isEnvid(envid), envid);
    for (const orcpt of ["", "rfc822;a@b.example", "rfc822;a+2Bb@b.example", "utf-8;ü@b.example", "utf-8;\\x{fC}@b.example", "UTF-8;a"]) assert.ok(isOrcpt(orcpt), orcpt);
  });
  it("not of their grammar", () => {
    for (const mailbox of ["", "a", "@b.example", "a@", "a@b", ".a@b.example", "a.@b.example", "a..b@b.example", "a b@b.example", '"a@b.example', '"a"b@b.example',
      "<a@b.example>", "@x:a@b.example", "a@[1.2.3.256]", "a@[IPv6:x]", "a@[IPv6:fe80::1%eth0]", "a@[X:y]", "a@[]", "a@b.example ", `${"a".repeat(256)}@b.example`, "a@-b.example"])
      assert.equal(parseMailbox(mailbox), undefined, mailbox);
    for (const envid of ["a b", "a=b", "a+2b", "a+", "ü"]) assert.ok(!isEnvid(envid), envid);
    for (const orcpt of ["rfc822", "rfc822;", ";a", "rfc822;a=b", "rfc822;ü", "rf c;a", "utf-8;a+2B", "UTF-8;a+2B", "utf-8;\\x{41}", "utf-8;\\X{FC}", `utf-8;${"ü".repeat(83)}`])
      assert.ok(!isOrcpt(orcpt), orcpt);
  });
  it("[R-uns-03] the same mailbox", () => {
    assert.ok(sameMailbox("a@B.example", "a@b.EXAMPLE"));
    assert.ok(sameMailbox("a@bücher.example", "a@xn--bcher-kva.example"));
    assert.ok(!sameMailbox("A@b.example", "a@b.example"));
    assert.ok(!sameMailbox("a@[1.2.3.4]", "a@[1.2.3.4]"));
  });
});
