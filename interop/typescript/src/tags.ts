// The grammar that policy records and key records share [R-rec-01], [R-rec-02].
import * as base64 from "./base64.js";
import { latin1, type Octets } from "./octets.js";

export type Trouble = "malformed" | "too-large" | "bad-signature";

/** Why a record is not used; `trouble` is the outcome of the look-up that it amounts to. */
export class RecordError extends Error {
  constructor(
    readonly trouble: Trouble,
    message: string,
  ) {
    super(message);
  }
}

export function malformed(message: string): RecordError {
  return new RecordError("malformed", message);
}

/** Whether a TXT record is one of this version, followed by the end, ";" or white space. */
export function bears(version: string, text: Octets): boolean {
  const start = latin1(text.subarray(0, version.length + 1));
  return start.startsWith(version) && /^[; \t]?$/.test(start.slice(version.length));
}

export interface Tag {
  readonly name: string;
  readonly value: string;
  /** Where its name begins in the text. */
  readonly at: number;
}

const TAG = /^([A-Za-z][A-Za-z0-9]{0,7})[ \t]*=[ \t]*([\x21-\x3a\x3c-\x7e]*)$/;

/** The tags after the version, in order. */
export function parseTags(version: string, text: Octets, most: number): readonly Tag[] {
  if (text.length > most) throw new RecordError("too-large", `more than ${most} octets`);
  if (text.some((octet) => octet > 0x7f)) throw malformed("not ASCII");
  const [first, ...others] = latin1(text).split(";");
  if (first!.replace(/[ \t]+$/, "") !== version) throw malformed(`does not begin with ${version}`);
  // One ";" may end the record.
  if (others.length > 0 && /^[ \t]*$/.test(others[others.length - 1]!)) others.pop();

  const tags: Tag[] = [];
  const names = new Set([version.slice(0, version.indexOf("="))]);
  let at = first!.length + 1;
  for (const part of others) {
    const trimmed = part.replace(/^[ \t]+|[ \t]+$/g, "");
    const match = TAG.exec(trimmed);
    if (match === null) throw malformed("a tag is not of its form");
    const [, name, value] = match as unknown as [string, string, string];
    if (names.has(name)) throw malformed(`tag ${name} stands twice`);
    names.add(name);
    tags.push({ name, value, at: at + part.search(/[^ \t]/) });
    at += part.length + 1;
  }
  return tags;
}

/** Without sign and leading zeros [R-rec-04]. */
export function parseDecimal(text: string, digits: number): number | undefined {
  return /^(?:0|[1-9][0-9]*)$/.test(text) && text.length <= digits ? Number(text) : undefined;
}

export function parseBase64(text: string, length: number): Octets | undefined {
  const octets = base64.decode(text);
  return octets?.length === length ? octets : undefined;
}

/** `suite` of the grammar: 1 to 65535, no leading zero. */
export function parseSuite(text: string): number | undefined {
  return /^[1-9][0-9]{0,4}$/.test(text) && Number(text) <= 0xffff ? Number(text) : undefined;
}
