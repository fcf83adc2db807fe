import { labelled, sha256 } from "./labels.js";
import type { BodyHead } from "./body.js";
import { concat, uint, vector, type Octets } from "./octets.js";
import { PREFIX_LIMIT } from "./prefix.js";

export const SIGNATURE_LENGTH = 64;
export const BLOCK_LIMIT = 0xffff;
const LEAST_LENGTH = 4096;

/** The length of a content whose length without padding is given: Padmé [R-con-05]. */
export function paddedLength(length: number): number {
  const padded = Math.max(length, LEAST_LENGTH);
  // Logarithms by counting digits, for they are exact.
  const e = padded.toString(2).length - 1;
  const s = e.toString(2).length;
  const step = 2 ** (e - s);
  return Math.ceil(padded / step) * step;
}

/** [R-con-03] */
export function openingInput(envelopeId: Octets, head: BodyHead, prefix: Octets): Octets {
  return labelled("opening", envelopeId, head.salt, head.commitment, vector(prefix, 1, PREFIX_LIMIT));
}

/** [R-con-06] */
export function closingInput(openingSignature: Octets, contentHash: Octets): Octets {
  return labelled("closing", openingSignature, contentHash);
}

/** The message in blocks of one size [R-car-03], and the empty one that ends them. */
export function encodeBlocks(message: Octets, size: number): Octets {
  const blocks: Octets[] = [];
  for (let at = 0; at < message.length; at += size) {
    const data = message.subarray(at, at + size);
    blocks.push(uint(data.length, 2), data);
  }
  return concat(...blocks, uint(0, 2));
}

/** Signs with the key that `signing_key_id` names. */
export type Sign = (input: Octets) => Octets;

export function encodeContent(prefix: Octets, opening: (prefix: Octets) => Octets, message: Octets, blockSize: number, sign: Sign): Octets {
  const openingSignature = sign(opening(prefix));
  const start = concat(vector(prefix, 1, PREFIX_LIMIT), openingSignature);
  const blocks = encodeBlocks(message, blockSize);
  const length = start.length + blocks.length + SIGNATURE_LENGTH;
  const between = concat(blocks, new Uint8Array(paddedLength(length) - length));
  return concat(start, between, sign(closingInput(openingSignature, sha256(between))));
}
