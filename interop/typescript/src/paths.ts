// The grammar of paths and their parameters [R-con-02], [R-uns-05]: RFC 5321, RFC 6531 and RFC 3461.
import { isIPv4, isIPv6 } from "node:net";
import { identityOf } from "./identity.js";
import { utf8 } from "./octets.js";
import type { ForwardPath, ReversePath } from "./prefix.js";

export interface Mailbox {
  readonly local: string;
  /** An address literal has no identity [R-id-02]. */
  readonly identity: string | undefined;
}

const LOCAL_PART_LIMIT = 255;
const NON_ASCII = "\\u0080-\\u{10ffff}";
const ATOM = `[A-Za-z0-9!#$%&'*+/=?^_\`{|}~\\-${NON_ASCII}]+`;
const QUOTED = `"(?:[\\x20\\x21\\x23-\\x5b\\x5d-\\x7e${NON_ASCII}]|\\\\[\\x20-\\x7e])*"`;
const MAILBOX = new RegExp(`^(${ATOM}(?:\\.${ATOM})*|${QUOTED})@(?:\\[(.*)\\]|([^\\[]*))$`, "u");

export function parseMailbox(text: string): Mailbox | undefined {
  const match = MAILBOX.exec(text);
  if (match === null) return undefined;
  const [, local, literal, domain] = match;
  if (local === undefined || utf8(local).length > LOCAL_PART_LIMIT) return undefined;
  if (literal !== undefined) return isAddressLiteral(literal) ? { local, identity: undefined } : undefined;
  const identity = identityOf(domain ?? "");
  return identity === undefined ? undefined : { local, identity };
}

function isAddressLiteral(text: string): boolean {
  if (isIPv4(text)) return true;
  const tagged = /^ipv6:([0-9a-f:.]+)$/i.exec(text);
  return tagged !== null && isIPv6(tagged[1]!);
}

/** Octet by octet in the local part; the domain as identity [R-con-02], [R-uns-03]. */
export function sameMailbox(a: string, b: string): boolean {
  const [one, other] = [parseMailbox(a), parseMailbox(b)];
  if (one === undefined || other === undefined) return false;
  return one.local === other.local && one.identity !== undefined && one.identity === other.identity;
}

/** Whether a path or ORCPT is not ASCII and SMTPUTF8 was not given [R-con-02]. */
export function lacksSmtputf8({ mailbox, smtputf8 }: ReversePath, forwardPaths: readonly ForwardPath[]): boolean {
  const texts = [mailbox, ...forwardPaths.flatMap((path) => [path.mailbox, path.orcpt])];
  return smtputf8 === 0 && texts.some((each) => /[^\x00-\x7f]/.test(each));
}

const XCHAR = "[\\x21-\\x2a\\x2c-\\x3c\\x3e-\\x7e]";
/** What a hexchar stands for is printable US-ASCII in ENVID, and no control character in ORCPT [R-con-02]. */
const ENVID = new RegExp(`^(?:${XCHAR}|\\+[2-6][0-9A-F]|\\+7[0-9A-E])+$`);
const ORCPT = new RegExp(`^(?![Uu][Tt][Ff]-8;)[A-Za-z0-9!#$%&'*+\\-/?^_\`{|}~]+;(?:${XCHAR}|\\+[2-68-9A-F][0-9A-F]|\\+7[0-9A-E])+$`);
const UTF8_ORCPT = /^[Uu][Tt][Ff]-8;((?:[\x21-\x2a\x2c-\x3c\x3e-\x5b\x5d-\x7e\u00a0-\u{10ffff}]|\\x\{[^}]*\})+)$/u;
/** Space, "+", "=" and backslash, and from U+00A0 on all that is no surrogate. */
const HEXPOINT =
  /^(?:20|2B|3D|5C|[A-F][0-9A-F]|[1-9A-F][0-9A-F]{2}|[1-9A-CEF][0-9A-F]{3}|D[0-7][0-9A-F]{2}|[1-9A-F][0-9A-F]{4}|10[0-9A-F]{4})$/i;
const ORCPT_LIMIT = 500;

export function isEnvid(text: string): boolean {
  return text === "" || ENVID.test(text);
}

export function isOrcpt(text: string): boolean {
  if (text === "" || ORCPT.test(text)) return text.length <= ORCPT_LIMIT;
  const address = UTF8_ORCPT.exec(text)?.[1];
  if (address === undefined || inAscii(text).length > ORCPT_LIMIT) return false;
  return [...address.matchAll(/\\x\{([^}]*)\}/g)].every(([, point]) => HEXPOINT.test(point!));
}

/** The form that an MTA without SMTPUTF8 understands. */
function inAscii(text: string): string {
  return text.replace(/[^\x00-\x7f]/gu, (each) => `\\x{${each.codePointAt(0)!.toString(16)}}`);
}
