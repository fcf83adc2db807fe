import { ascii, type Octets } from "./octets.js";

export function encode(octets: Octets): string {
  return Buffer.from(octets).toString("base64");
}

/** Padded, canonical, without line breaks; nothing if it is anything else. */
export function decode(text: string): Octets | undefined {
  const octets = Buffer.from(text, "base64");
  // What Node reads past, mends or drops it does not write again: other characters, padding that is wrong, bits before it.
  return octets.toString("base64") === text ? new Uint8Array(octets) : undefined;
}

/** In lines of 76, each ended by CRLF [R-car-01]. */
export function encodeLines(octets: Octets): Octets {
  return ascii(encode(octets).replace(/.{1,76}/g, "$&\r\n"));
}

/**
 * Strict decoding of the text of a part [R-car-07]: white space anywhere, also after the padding, and nothing else
 * beside the alphabet.
 */
export function decodeText(text: string): Octets | undefined {
  return decode(text.replace(/[ \t\r\n]+/g, ""));
}
