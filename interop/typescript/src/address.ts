import { identityOf } from "./identity.js";
import { addressTokens, type Token } from "./lexer.js";
import { ascii, fromUtf8 } from "./octets.js";

export interface Address {
  /** Without the quotes, if it is a quoted string. */
  readonly local: string;
  readonly identity: string;
}

/** The address of a field that has one, with or without a display name, whose domain has an identity [R-car-04]. */
export function oneAddress(body: string): Address | undefined {
  const found = addressTokens(body);
  if (found === undefined) return undefined;
  const open = found.findIndex((token) => is(token, "<"));
  if (open < 0) return addrSpec(found);
  const phrase = found.slice(0, open);
  const isPhrase = phrase.every((token) => token.kind === "word" || token.kind === "quoted" || is(token, "."));
  return isPhrase && is(found[found.length - 1], ">") ? addrSpec(found.slice(open + 1, -1)) : undefined;
}

function is(token: Token | undefined, special: string): boolean {
  return token?.kind === "special" && token.text === special;
}

function addrSpec(found: readonly Token[]): Address | undefined {
  const at = found.findIndex((token) => is(token, "@"));
  if (at < 0) return undefined;
  const [first] = found;
  const local = at === 1 && first?.kind === "quoted" ? first.value : dotted(found.slice(0, at), (token) => token.kind === "word");
  const domain = dotted(found.slice(at + 1), (token) => token.kind === "word");
  const identity = domain === undefined ? undefined : identityOf(fromUtf8(ascii(domain)) ?? "");
  return local === undefined || identity === undefined ? undefined : { local, identity };
}

/** Words with a dot between each two, joined. */
function dotted(found: readonly Token[], isWord: (token: Token) => boolean): string | undefined {
  const inOrder = found.length % 2 === 1 && found.every((token, i) => (i % 2 === 0 ? isWord(token) : is(token, ".")));
  return inOrder ? found.map((token) => token.text).join("") : undefined;
}
