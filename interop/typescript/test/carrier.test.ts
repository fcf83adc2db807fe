import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as base64 from "../src/base64.js";
import { encodeCarrier } from "../src/carrier.js";
import { encodeHeader } from "../src/envelope.js";
import type { Failure } from "../src/failure.js";
import { Refusal } from "../src/failure.js";
import { ascii, concat, latin1, type Octets } from "../src/octets.js";
import { recognise } from "../src/recognise.js";
import { suite } from "../src/suites.js";
import { DOMAIN, NOW, octets, seed } from "./world.js";

const ENVELOPE = concat(encodeHeader(suite(1)!, seed("key id"), DOMAIN), octets("the rest", 500));
const BASE64 = base64.encode(ENVELOPE);
const own = (domain: string) => domain === DOMAIN;
const FROM = "From: mta-seal@a.example\r\n";
const TYPE = "Content-Type: application/mta-seal\r\n";
const NAMED = 'Content-Type: application/octet-stream; name="message.mtaseal"\r\n';
const ENCODED = "Content-Transfer-Encoding: base64\r\n";
const PART = `${TYPE}${ENCODED}\r\n${BASE64}\r\n`;

const mixed = (boundary: string, ...parts: readonly string[]) =>
  `Content-Type: multipart/mixed; boundary=${boundary}\r\n\r\n${parts.map((part) => `--${boundary}\r\n${part}\r\n`).join("")}--${boundary}--\r\n`;

function assertCarries(message: string | Octets, what?: string): void {
  assert.deepEqual(recognise(typeof message === "string" ? ascii(message) : message, own).octets, ENVELOPE, what);
}

function assertRefused(message: string, failure: Failure, what?: string): void {
  assert.throws(() => recognise(ascii(message), own), (error) => error instanceof Refusal && error.failure === failure, what);
}

describe("[R-car-01] to [R-car-03] a carrier made here", () => {
  const carrier = latin1(encodeCarrier(ENVELOPE, "a.example", DOMAIN, NOW));
  it("is recognised", () => assertCarries(carrier));
  it("is ASCII in lines of at most 78 with CRLF", () => {
    for (const line of carrier.split("\r\n")) assert.match(line, /^[\x20-\x7e]{0,78}$/);
  });
  it("has a new token each time, and the same length", () => {
    const other = latin1(encodeCarrier(ENVELOPE, "a.example", DOMAIN, NOW + 1));
    const token = (text: string) => /^MTA-Seal-Token: ([0-9a-f]{32})\r$/m.exec(text)?.[1];
    assert.ok(token(carrier));
    assert.notEqual(token(other), token(carrier));
    assert.equal(other.length, carrier.length);
  });
  it("has the fields of the draft", () => {
    for (const field of ["Date: Fri, 15 Jan 2027 08:00:00 +0000", "From: mta-seal@a.example", "To: mta-seal@b.example", "Subject: Sealed message"])
      assert.ok(carrier.includes(`${field}\r\n`), field);
  });
});

describe("[R-car-04], [R-car-06] what is recognised and tolerated", () => {
  const deep = (depth: number): string => (depth === 0 ? PART : mixed(`b${depth}`, deep(depth - 1)));
  const nameless = `Content-Type: text/plain\r\nContent-Disposition: attachment;\r\n filename*0="message.";\r\n filename*1*=%4dtaseal\r\n${ENCODED}\r\n${BASE64}`;
  const accepted: Readonly<Record<string, string>> = {
    "the body itself": `${FROM}${PART}`,
    "a display name, comments and folding": `From: "x, y" (c (d))\r\n <mta-seal@A.example>\r\nX: y\r\n${PART}`,
    "three multiparts around it": `${FROM}${deep(3)}`,
    "other parts beside it": `${FROM}${mixed("b", "\r\ntext", PART, 'Content-Type: text/plain; name="x.mtaseal"\r\n\r\nnothing')}`,
    "a missing last delimiter": `${FROM}${mixed("b", PART).replace("--b--\r\n", "")}`,
    "a file name": `${FROM}${NAMED}${ENCODED}\r\n${BASE64}`,
    "a continued and encoded file name": `${FROM}${nameless}`,
    "base64 in one line and white space": `${FROM}${TYPE}${ENCODED}\r\n \t\r\n ${BASE64.replace(/.{900}/g, "$&\r\n ")} \r\n\r\n`,
    "base64 without a transfer encoding": `${FROM}${TYPE}\r\n${BASE64}`,
    "base64 in quoted-printable": `${FROM}${TYPE}Content-Transfer-Encoding: Quoted-Printable\r\n\r\n${BASE64.replace(/=/g, "=3D").replace(/.{60}/g, "$&=\r\n")}`,
    "the envelope itself": `${FROM}${TYPE}Content-Transfer-Encoding: binary\r\n\r\n${latin1(ENVELOPE)}\r\n`,
    "the envelope in quoted-printable, before a delimiter": `${FROM}${mixed(
      "b",
      `${TYPE}Content-Transfer-Encoding: quoted-printable\r\n\r\n${[...ENVELOPE].map((octet) => `=${octet.toString(16).padStart(2, "0").toUpperCase()}`).join("").replace(/.{60}/g, "$&=\r\n")}`,
    )}`,
    "parameters and comments in the type": `${FROM}Content-Type: Application/(c)MTA-Seal ; x="\\"y;"\r\n${ENCODED}\r\n${BASE64}`,
    "a last semicolon in the type": `${FROM}Content-Type: application/mta-seal;\r\n${ENCODED}\r\n${BASE64}`,
    "a bad disposition, which is ignored": `${FROM}Content-Disposition: ;;\r\n${PART}`,
  };
  for (const [what, message] of Object.entries(accepted)) it(what, () => assertCarries(message));
});

describe("[R-car-04] what is ordinary mail", () => {
  const four = mixed("a", mixed("b", mixed("c", mixed("d", PART))));
  const padding = (length: number) => `\r\n${"x".repeat(length)}`;
  const ordinary: Readonly<Record<string, string>> = {
    "another local part": `From: Mta-Seal@a.example\r\n${PART}`,
    "a quoted local part of another": `From: "mta-seal "@a.example\r\n${PART}`,
    "no From": PART,
    "two From": `${FROM}${FROM}${PART}`,
    "two addresses": `From: mta-seal@a.example, mta-seal@a.example\r\n${PART}`,
    "a group": `From: g:mta-seal@a.example;\r\n${PART}`,
    "a domain without identity": `From: mta-seal@[1.2.3.4]\r\n${PART}`,
    "four multiparts around it": `${FROM}${four}`,
    "inside a message": `${FROM}${mixed("b", `Content-Type: message/rfc822\r\n\r\n${PART}`)}`,
    "inside a report": `${FROM}${mixed("b", PART).replace("multipart/mixed", "multipart/report")}`,
    "inside another multipart": `${FROM}${mixed("a", mixed("b", PART).replace("multipart/mixed", "multipart/alternative"))}`,
    "a type that stands twice": `${FROM}${TYPE}${PART}`,
    "a type not of its grammar": `${FROM}Content-Type: application\r\n${ENCODED}\r\n${BASE64}`,
    "a part whose header does not end": `${FROM}${mixed("b", `${TYPE}${ENCODED}${BASE64}`)}`,
    "a file name and no magic": `${FROM}${NAMED}${ENCODED}\r\nAAAA`,
    "a file name and another encoding": `${FROM}${NAMED}Content-Transfer-Encoding: uuencode\r\n\r\n${BASE64}`,
    "a part that begins too late": `${FROM}${mixed("b", padding(65536), PART)}`,
    "no carrier at all": `${FROM}Subject: x\r\n\r\nHello.\r\n`,
  };
  for (const [what, message] of Object.entries(ordinary)) it(what, () => assertRefused(message, "none"));

  it("a part begins within the first 65,536 octets of the body", () => {
    const message = (length: number) => `${FROM}${mixed("b", padding(length), PART)}`;
    const start = message(0).indexOf(BASE64) - message(0).indexOf("\r\n\r\n") - 4;
    assertCarries(message(65535 - start));
    assertRefused(message(65536 - start), "none");
  });
});

describe("[R-car-05] to [R-car-07] what is refused", () => {
  const refused: Readonly<Record<string, readonly [string, Failure]>> = {
    "two parts": [mixed("b", PART, PART), "two-parts"],
    "two parts, the second far away": [mixed("b", PART, `\r\n${"x".repeat(70000)}`, PART), "two-parts"],
    "the media type with another magic": [`${TYPE}${ENCODED}\r\nAAAAAAAAAAAA`, "carrier-malformed"],
    "the media type with another magic, beside a sealed part": [mixed("b", PART, `${TYPE}\r\nx`), "carrier-malformed"],
    "the media type with a late magic": [`${TYPE}${ENCODED}\r\n${" ".repeat(1020)}${BASE64}`, "carrier-malformed"],
    "another encoding": [`${TYPE}Content-Transfer-Encoding: x-y\r\n\r\n${BASE64}`, "carrier-malformed"],
    "two encodings": [`${ENCODED}${PART}`, "carrier-malformed"],
    "an octet that is not base64": [`${TYPE}${ENCODED}\r\n${BASE64.replace(/.{20}$/, "-$&")}`, "carrier-malformed"],
    "wrong padding": [`${TYPE}${ENCODED}\r\n${BASE64}=`, "carrier-malformed"],
    "text after the padding": [`${TYPE}${ENCODED}\r\n${base64.encode(concat(ENVELOPE, new Uint8Array((4 - (ENVELOPE.length % 3)) % 3)))}AA==AAAA`, "carrier-malformed"],
    "another domain": [PART.replace(BASE64, base64.encode(concat(encodeHeader(suite(1)!, seed("key id"), "c.example"), octets("rest", 200)))), "carrier-foreign"],
    "an envelope that ends in its sealed key": [PART.replace(BASE64, base64.encode(ENVELOPE.subarray(0, 130))), "unauthentic"],
    "another version": [PART.replace(BASE64, base64.encode(ENVELOPE.map((octet, i) => (i === 8 ? 2 : octet)))), "carrier-unsupported"],
    "an unknown suite": [PART.replace(BASE64, base64.encode(ENVELOPE.map((octet, i) => (i === 10 ? 9 : octet)))), "carrier-unsupported"],
    "a domain that is no identity": [PART.replace(BASE64, base64.encode(ENVELOPE.map((octet, i) => (i === 44 ? 0x42 : octet)))), "carrier-malformed"],
  };
  for (const [what, [message, failure]] of Object.entries(refused)) it(what, () => assertRefused(`${FROM}${message}`, failure));
});
