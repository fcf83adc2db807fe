// The lexical tokens that addresses (RFC 5322) and MIME fields (RFC 2045) share.

export type Token =
  | { readonly kind: "word"; readonly text: string }
  | { readonly kind: "quoted"; readonly text: string; readonly value: string }
  | { readonly kind: "literal"; readonly text: string }
  | { readonly kind: "special"; readonly text: string };

const WORD = (specials: string) => new RegExp(`[^\\x00-\\x20\\x7f${specials}]+`, "y");
const ADDRESS_WORD = WORD('()<>@,;:\\\\".\\[\\]');
const MIME_WORD = WORD('()<>@,;:\\\\"/\\[\\]?=\\x80-\\xff');
/** A value without quotes may have what is no token [R-car-04]. */
const MIME_VALUE = WORD(';"()');
const QUOTED = /"((?:[^"\\\r\n\0]|\\[^\r\n\0])*)"/y;
const LITERAL = /\[[^\[\]\\\r\n\0]*\]/y;

/** The tokens without comments and white space; nothing if a quotation or a comment does not end, or an octet is none of these. */
function tokens(text: string, word: RegExp): readonly Token[] | undefined {
  const found: Token[] = [];
  let at = 0;
  const match = (pattern: RegExp) => {
    pattern.lastIndex = at;
    const result = pattern.exec(text);
    if (result !== null) at = pattern.lastIndex;
    return result;
  };
  while (at < text.length) {
    const char = text[at]!;
    let result: RegExpExecArray | null;
    if (char === " " || char === "\t") {
      at++;
    } else if (char === "(") {
      const end = commentEnd(text, at);
      if (end === undefined) return undefined;
      at = end;
    } else if (word === MIME_WORD && found[found.length - 1]?.text === "=" && (result = match(MIME_VALUE)) !== null) {
      found.push({ kind: "word", text: result[0] });
    } else if ((result = match(word)) !== null) {
      found.push({ kind: "word", text: result[0] });
    } else if ((result = match(QUOTED)) !== null) {
      found.push({ kind: "quoted", text: result[0], value: result[1]!.replace(/\\(.)/gs, "$1") });
    } else if (word === ADDRESS_WORD && (result = match(LITERAL)) !== null) {
      found.push({ kind: "literal", text: result[0] });
    } else if ('<>@,;:./?='.includes(char)) {
      found.push({ kind: "special", text: char });
      at++;
    } else {
      return undefined;
    }
  }
  return found;
}

function commentEnd(text: string, start: number): number | undefined {
  let depth = 0;
  for (let at = start; at < text.length; at++) {
    const char = text[at];
    if (char === "\\") at++;
    else if (char === "(") depth++;
    else if (char === ")" && --depth === 0) return at + 1;
  }
  return undefined;
}

export function addressTokens(text: string): readonly Token[] | undefined {
  return tokens(text, ADDRESS_WORD);
}

export function mimeTokens(text: string): readonly Token[] | undefined {
  return tokens(text, MIME_WORD);
}
