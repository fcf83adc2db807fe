import type { Octets } from "./octets.js";

const CR = 0x0d;
const LF = 0x0a;

/** Finds a bare CR, a bare LF or a NUL, also across the borders of blocks [R-seal-07]. */
export class LineEnds {
  #afterCr = false;

  /** Whether the octets, after those given before, are fit. */
  accept(octets: Octets): boolean {
    for (const octet of octets) {
      if (octet === 0 || this.#afterCr !== (octet === LF)) return false;
      this.#afterCr = octet === CR;
    }
    return true;
  }

  /** Whether the message may end here. */
  end(): boolean {
    return !this.#afterCr;
  }
}

export function isFit(message: Octets): boolean {
  const lineEnds = new LineEnds();
  return lineEnds.accept(message) && lineEnds.end();
}
