import { createHash } from "node:crypto";
import type { BodyOpener } from "./body.js";
import { Refusal } from "./failure.js";
import { concat, type Octets } from "./octets.js";

/** Reads a content in order, opening each chunk of the body when it is needed and not before. */
export class ContentReader {
  #chunk: Octets = new Uint8Array(0);
  #next = 0;
  #hash = createHash("sha256");
  read = 0;

  constructor(readonly opener: BodyOpener) {}

  /** At most so many octets, and at least one; nothing at the end of the content. */
  some(most: number): Octets | undefined {
    while (this.#chunk.length === 0) {
      if (this.#next === this.opener.count) {
        if (!this.opener.complete) throw unauthentic("the body is truncated");
        return undefined;
      }
      const chunk = this.opener.chunk(this.#next++);
      if (chunk === undefined) throw unauthentic("a chunk is not authentic");
      this.#chunk = chunk;
    }
    const octets = this.#chunk.subarray(0, most);
    this.#chunk = this.#chunk.subarray(octets.length);
    this.#hash.update(octets);
    this.read += octets.length;
    return octets;
  }

  /** Exactly so many octets; nothing if the content ends before. */
  exactly(count: number): Octets | undefined {
    const parts: Octets[] = [];
    for (let missing = count; missing > 0; ) {
      const octets = this.some(missing);
      if (octets === undefined) return undefined;
      parts.push(octets);
      missing -= octets.length;
    }
    return concat(...parts);
  }

  /** Begins the hash that the closing signature covers [R-con-06]. */
  beginHash(): void {
    this.#hash = createHash("sha256");
  }

  hash(): Octets {
    return new Uint8Array(this.#hash.copy().digest());
  }
}

function unauthentic(message: string): Refusal {
  return new Refusal("body", "unauthentic", message);
}
