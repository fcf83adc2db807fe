// Whom a message comes from, as all readers see it or as any reader may [R-uns-07].
import { decodeWords } from "./encoded-words.js";
import { bodies, type HeaderBlock } from "./header.js";
import { identityOf } from "./identity.js";
import { addressTokens, commentEnd, type Token } from "./lexer.js";
import { ascii } from "./octets.js";

export interface Address {
  /** Without the quotes if it is a quoted string [R-car-04]. */
  readonly local: string;
  readonly identity: string;
}

/** Those of From: first. */
const FIELDS = ["from", "sender", "resent-from", "resent-sender"];
const OCTETS_LIMIT = 8192;
const ADDRESSES_LIMIT = 64;
const CONTROL = /[\x00-\x08\x0a-\x1f\x7f]/;
const AT = /[@\uff20\ufe6b]/g;

/** The one author of a message; nothing if readers may disagree. */
export function authorOf(header: HeaderBlock): Address | undefined {
  const from = bodies(header, "from");
  return from.length === 1 ? oneAddress(from[0]!) : undefined;
}

/** The address of a field, if it has one mailbox that all readers agree about. */
export function oneAddress(body: string): Address | undefined {
  if (body.length > OCTETS_LIMIT || CONTROL.test(body) || misleads(body)) return undefined;
  const found = addressTokens(body);
  if (found === undefined) return undefined;
  while (found[found.length - 1]?.kind === "gap") found.pop();
  const open = found.findIndex((token) => token.text === "<" && token.kind === "special");
  if (open < 0) {
    while (found[0]?.kind === "gap") found.shift();
    return addrSpec(found);
  }
  const isPhrase = found.slice(0, open).every((token) => token.kind !== "special");
  return isPhrase && isSpecial(found[found.length - 1], ">") ? addrSpec(found.slice(open + 1, -1)) : undefined;
}

/** Whether a reader who decodes before looking for the address may find another one. */
function misleads(body: string): boolean {
  const { text, hidden } = decodeWords(textOf(body));
  if (CONTROL.test(hidden) || /[<>]/.test(hidden)) return true;
  return (text.match(AT) ?? []).length > 1 && /[,;:"()\\]/.test(hidden);
}

function textOf(body: string): string {
  return new TextDecoder().decode(ascii(body));
}

function isSpecial(token: Token | undefined, special: string): boolean {
  return token?.kind === "special" && token.text === special;
}

/** Without anything between its three tokens. */
function addrSpec([local, at, domain, ...more]: readonly Token[]): Address | undefined {
  if (!isSpecial(at, "@") || domain?.kind !== "atom" || more.length > 0) return undefined;
  const name = local?.kind === "quoted" ? local.value : local?.kind === "atom" ? local.text : undefined;
  if (name === undefined || name.includes("@") || name.includes("=?")) return undefined;
  if (local!.kind === "atom" && name.split(".").includes("")) return undefined;
  const identity = identityOf(textOf(domain.text));
  return identity === undefined ? undefined : { local: name, identity };
}

/** The identities that a reader may take for the author's; `anybody` if there is more than a person has written. */
export function claimedBy(header: HeaderBlock): ReadonlySet<string> | "anybody" {
  const fields = FIELDS.map((name) => bodies(header, name));
  if (fields.flat().reduce((sum, body) => sum + body.length, 0) > OCTETS_LIMIT) return "anybody";
  const claimed = new Set<string>();
  let addresses = 0;
  for (const found of fields) {
    const agreed = found.length === 1 ? oneAddress(found[0]!) : undefined;
    if (agreed !== undefined) claimed.add(agreed.identity);
    else
      for (const text of found.flatMap(seenIn))
        for (const at of text.matchAll(AT)) {
          addresses++;
          domainsAt(text, at.index + 1).forEach((identity) => claimed.add(identity));
        }
  }
  return addresses > ADDRESSES_LIMIT ? "anybody" : claimed;
}

/** A body as readers may see it: as it stands, and decoded; without control characters and what is no character. */
function seenIn(body: string): readonly string[] {
  const text = textOf(body);
  const decoded = decodeWords(text).text;
  return [...new Set([text, decoded])].map((each) => each.replace(/\t/g, " ").replace(/[\p{Cc}\ufffd]/gu, ""));
}

/** The identities that may be meant by what begins here: up to a gap, or with what stands behind it. */
function domainsAt(text: string, start: number): readonly string[] {
  const names: string[] = [];
  let joined = "";
  let gap = false;
  for (let at = start; at < text.length; ) {
    const char = String.fromCodePoint(text.codePointAt(at)!);
    if (char === "(") {
      at = commentEnd(text, at) ?? text.length;
      gap = true;
    } else if (' "\\'.includes(char)) {
      at++;
      gap = true;
    } else if (/[A-Za-z0-9._-]|[^\x00-\x7f]/u.test(char)) {
      if (gap && joined !== "") names.push(joined);
      joined += char;
      gap = false;
      at += char.length;
    } else {
      break;
    }
  }
  return [...names, joined].flatMap(readings);
}

/** A name whole, its ASCII alone, and what stands before another character. */
function readings(name: string): readonly string[] {
  const read = [name, name.replace(/[^\x00-\x7f]/gu, ""), name.split(/[^\x00-\x7f]/u)[0]!];
  return read.map((each) => identityOf(each.replace(/^[._-]+|[._-]+$/g, ""))).filter((each) => each !== undefined);
}
