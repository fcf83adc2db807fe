// What the text of a part decodes to [R-car-06], [R-car-07].
import { decodeText } from "./base64.js";
import { MAGIC } from "./envelope.js";
import { ascii, latin1, startsWith, type Octets } from "./octets.js";

/** Within how many octets of its text the magic of a part must be complete [R-car-04]. */
const MAGIC_WITHIN = 1024;
/** The base64 digits that hold the magic; the last has two bits of what follows. */
const MAGIC_DIGITS = /^[ \t\r\n]*0[ \t\r\n]*0[ \t\r\n]*1[ \t\r\n]*U[ \t\r\n]*Q[ \t\r\n]*V[ \t\r\n]*N[ \t\r\n]*F[ \t\r\n]*Q[ \t\r\n]*U[ \t\r\n]*[wxyz]/;

/** Whether the text decodes to something that begins with the magic. */
export function hasMagic(text: string, encoding: string | undefined): boolean {
  const start = text.slice(0, MAGIC_WITHIN);
  switch (encoding) {
    case "base64":
      return MAGIC_DIGITS.test(start);
    case "quoted-printable":
      return beginsWithMagic(decodeQuotedPrintable(start, false)!);
    case "7bit":
    case "8bit":
    case "binary":
      return beginsWithMagic(start);
    default:
      return false;
  }
}

function beginsWithMagic(text: string): boolean {
  return startsWith(ascii(text), MAGIC) || MAGIC_DIGITS.test(text);
}

/** The envelope in a text that has the magic; nothing if it is malformed. */
export function decodePart(text: string, encoding: string, delimited: boolean): Octets | undefined {
  if (encoding === "base64") return decodeText(text);
  const decoded = encoding === "quoted-printable" ? decodeQuotedPrintable(text, true) : text;
  if (decoded === undefined) return undefined;
  if (!startsWith(ascii(decoded.slice(0, MAGIC.length)), MAGIC)) return decodeText(decoded);
  // Where no delimiter follows, a last CRLF is not part of the envelope.
  return ascii(delimited ? decoded : decoded.replace(/\r\n$/, ""));
}

/** RFC 2045, section 6.7. If strict, nothing for an "=" that begins no escape and no soft line break. */
function decodeQuotedPrintable(text: string, strict: boolean): string | undefined {
  const trimmed = text.replace(/[ \t]+(?=\r\n|$)/g, "").replace(/=(?:\r\n|$)/g, "");
  if (strict && /=(?![0-9A-Fa-f]{2})/.test(trimmed)) return undefined;
  return trimmed.replace(/=([0-9A-Fa-f]{2})/g, (_, hex: string) => latin1(new Uint8Array([parseInt(hex, 16)])));
}
