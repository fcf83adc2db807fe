// Encoded words (RFC 2047), wherever they stand and however badly they are encoded, as the most liberal reader might decode them.
import { ascii, latin1, utf8, type Octets } from "./octets.js";

const WORD = /=\?([^?]*)\?([QBqb])\?(.*?)\?=/gs;
/** White space between two of them is none. */
const BETWEEN = /(\?=)\s+(?==\?[^?]*\?[QBqb]\?)/g;

export interface Decoded {
  readonly text: string;
  /** What the encoded words hold, joined. */
  readonly hidden: string;
}

export function decodeWords(text: string): Decoded {
  let hidden = "";
  const decoded = text.replace(BETWEEN, "$1").replace(WORD, (_, charset: string, encoding: string, encoded: string) => {
    const content = decode(charset.split("*")[0]!, encoding.toUpperCase() === "B" ? fromBase64(encoded) : fromQ(encoded));
    hidden += content;
    return content;
  });
  return { text: decoded, hidden };
}

function fromBase64(encoded: string): Octets {
  return new Uint8Array(Buffer.from(encoded.replace(/[^A-Za-z0-9+/]/g, ""), "base64"));
}

function fromQ(encoded: string): Octets {
  const octets = latin1(utf8(encoded.replace(/_/g, " ")));
  return ascii(octets.replace(/=([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16))));
}

function decode(charset: string, octets: Octets): string {
  try {
    return new TextDecoder(charset).decode(octets);
  } catch {
    return new TextDecoder().decode(octets);
  }
}
