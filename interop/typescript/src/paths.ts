// The grammar of paths and their parameters [R-con-02], [R-uns-05]: RFC 5321, RFC 6531 and RFC 3461.
import { isIPv4, isIPv6 } from "node:net";
import { identityOf } from "./identity.js";
import { utf8 } from "./octets.js";

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

/** Whether a path is not ASCII and SMTPUTF8 was not given [R-con-02]. */
export function lacksSmtputf8(smtputf8: number, mailboxes: readonly string[]): boolean {
  return smtputf8 === 0 && mailboxes.some((each) => /[^\x00-\x7f]/.test(each));
}

const XTEXT = "(?:[\\x21-\\x2a\\x2c-\\x3c\\x3e-\\x7e]|\\+[0-9A-F]{2})";
/** What it stands for is printable US-ASCII [R-con-02]. */
const ENVID = /^(?:[\x21-\x2a\x2c-\x3c\x3e-\x7e]|\+[2-6][0-9A-F]|\+7[0-9A-E])+$/;
const ORCPT = new RegExp(`^(?![Uu][Tt][Ff]-8;)[!#-'*+/-9=?A-Z^-~-]+;${XTEXT}+$`);
/** RFC 6533, section 3: what is not ASCII stands as itself or embedded. */
const UTF8_ORCPT = new RegExp(
  `^utf-8;(?:[\\x21-\\x2a\\x2c-\\x3c\\x3e-\\x5b\\x5d-\\x7e${NON_ASCII}]|\\\\x\\{[0-9A-F]{2,6}\\})+$`,
  "iu",
);

export function isEnvid(text: string): boolean {
  return text === "" || ENVID.test(text);
}

export function isOrcpt(text: string): boolean {
  return text === "" || ORCPT.test(text) || UTF8_ORCPT.test(text);
}
