// The lexical tokens of addresses (RFC 5322) and of MIME fields (RFC 2045).

export type Token =
  | { readonly kind: "word"; readonly text: string }
  /** With dots. */
  | { readonly kind: "atom"; readonly text: string }
  | { readonly kind: "quoted"; readonly text: string; readonly value: string }
  /** White space or a comment. */
  | { readonly kind: "gap"; readonly text: string }
  | { readonly kind: "special"; readonly text: string };

const ATOM = /[A-Za-z0-9!#$%&'*+/=?^_`{|}~.\x80-\xff-]+/y;
const MIME_WORD = /[^\x00-\x20\x7f()<>@,;:\\"/[\]?=\x80-\xff]+/y;
/** A value without quotes may have what is no token [R-car-04]. */
const MIME_VALUE = /[^\x00-\x20\x7f;"()]+/y;
const QUOTED = /"((?:[^"\\\r\n\0]|\\[^\r\n\0])*)"/y;

/** Each token, from `read` or common to both; nothing if a quotation or a comment does not end, or an octet is none of these. */
function tokens(text: string, specials: string, read: (match: Match, before: Token | undefined) => Token | undefined): Token[] | undefined {
  const found: Token[] = [];
  let at = 0;
  const match: Match = (pattern) => {
    pattern.lastIndex = at;
    const result = pattern.exec(text);
    if (result !== null) at = pattern.lastIndex;
    return result;
  };
  while (at < text.length) {
    const char = text[at]!;
    let token: Token | undefined;
    let result: RegExpExecArray | null;
    if (char === " " || char === "\t") {
      at++;
      found.push({ kind: "gap", text: char });
    } else if (char === "(") {
      const end = commentEnd(text, at);
      if (end === undefined) return undefined;
      found.push({ kind: "gap", text: text.slice(at, end) });
      at = end;
    } else if ((token = read(match, lastOf(found))) !== undefined) {
      found.push(token);
    } else if ((result = match(QUOTED)) !== null) {
      found.push({ kind: "quoted", text: result[0], value: result[1]!.replace(/\\(.)/gs, "$1") });
    } else if (specials.includes(char)) {
      found.push({ kind: "special", text: char });
      at++;
    } else {
      return undefined;
    }
  }
  return found;
}

type Match = (pattern: RegExp) => RegExpExecArray | null;

/** The last token that is no gap. */
function lastOf(found: readonly Token[]): Token | undefined {
  for (let i = found.length - 1; i >= 0; i--) if (found[i]!.kind !== "gap") return found[i];
  return undefined;
}

/** Where a comment that begins here ends. */
export function commentEnd(text: string, start: number): number | undefined {
  let depth = 0;
  for (let at = start; at < text.length; at++) {
    const char = text[at];
    if (char === "\\") at++;
    else if (char === "(") depth++;
    else if (char === ")" && --depth === 0) return at + 1;
  }
  return undefined;
}

/** With the gaps. */
export function addressTokens(text: string): Token[] | undefined {
  return tokens(text, "<>@", (match) => {
    const atom = match(ATOM);
    return atom === null ? undefined : { kind: "atom", text: atom[0] };
  });
}

/** Without them. */
export function mimeTokens(text: string): readonly Token[] | undefined {
  const found = tokens(text, "<>@,;:./?=", (match, before) => {
    const word = (before?.text === "=" ? match(MIME_VALUE) : null) ?? match(MIME_WORD);
    return word === null ? undefined : { kind: "word", text: word[0] };
  });
  return found?.filter((token) => token.kind !== "gap");
}
