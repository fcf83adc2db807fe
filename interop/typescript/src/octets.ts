// Octet strings and the presentation language of RFC 8446, section 3.

export type Octets = Uint8Array;

export function concat(...parts: readonly Octets[]): Octets {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

export function equal(a: Octets, b: Octets): boolean {
  return a.length === b.length && a.every((octet, i) => octet === b[i]);
}

export function startsWith(octets: Octets, prefix: Octets): boolean {
  return octets.length >= prefix.length && equal(octets.subarray(0, prefix.length), prefix);
}

export function ascii(text: string): Octets {
  return new Uint8Array(Buffer.from(text, "latin1"));
}

/** One character for each octet, so that offsets in the text are offsets in the octets. */
export function latin1(octets: Octets): string {
  return Buffer.from(octets.buffer, octets.byteOffset, octets.length).toString("latin1");
}

export function utf8(text: string): Octets {
  return new TextEncoder().encode(text);
}

/** The text of well-formed UTF-8, or nothing. */
export function fromUtf8(octets: Octets): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(octets);
  } catch {
    return undefined;
  }
}

/** What a structure that does not hold what its form promises throws. */
export class FormError extends Error {}

/** The same, of one that ends before it is complete, and is of its form as far as it goes. */
export class EndsEarlyError extends FormError {}

export function uint(value: number | bigint, width: number): Octets {
  const encoded = new Uint8Array(width);
  let rest = BigInt(value);
  for (let i = width - 1; i >= 0; i--) {
    encoded[i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  if (rest !== 0n) throw new FormError("integer out of range");
  return encoded;
}

/** The length field of a vector has as many octets as its greatest length needs. */
function lengthWidth(most: number): number {
  return most < 0x100 ? 1 : most < 0x10000 ? 2 : 3;
}

/** `opaque<least..most>` */
export function vector(octets: Octets, least: number, most: number): Octets {
  if (octets.length < least || octets.length > most) throw new FormError("vector out of range");
  return concat(uint(octets.length, lengthWidth(most)), octets);
}

export class Reader {
  #at = 0;

  constructor(readonly octets: Octets) {}

  get at(): number {
    return this.#at;
  }

  get rest(): Octets {
    return this.octets.subarray(this.#at);
  }

  get done(): boolean {
    return this.#at === this.octets.length;
  }

  take(count: number): Octets {
    if (this.octets.length - this.#at < count) throw new EndsEarlyError("structure ends early");
    return this.octets.subarray(this.#at, (this.#at += count));
  }

  uint(width: number): number {
    const value = this.take(width).reduce((sum, octet) => sum * 256 + octet, 0);
    return value;
  }

  uint64(): bigint {
    return this.take(8).reduce((sum, octet) => (sum << 8n) | BigInt(octet), 0n);
  }

  vector(least: number, most: number): Octets {
    const length = this.uint(lengthWidth(most));
    if (length < least || length > most) throw new FormError("vector out of range");
    return this.take(length);
  }
}
