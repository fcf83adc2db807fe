import { concat, FormError, Reader, uint, vector, type Octets } from "./octets.js";

export interface Extension {
  readonly type: number;
  readonly critical: boolean;
  readonly value: Octets;
}

/** What a receiver of this version cannot take, though it may be well-formed [R-env-03]. */
export class UnsupportedError extends Error {}

/** A list of extensions, judged as a whole for its form before an unknown critical one counts [R-env-03]. */
export function parseExtensions(octets: Octets): readonly Extension[] {
  const reader = new Reader(octets);
  const extensions: Extension[] = [];
  while (!reader.done) {
    const type = reader.uint(2);
    const critical = reader.uint(1);
    const value = reader.vector(0, 0xffff);
    if (critical > 1) throw new FormError("critical is above 1");
    const previous = extensions[extensions.length - 1];
    if (previous !== undefined && type <= previous.type) throw new FormError("extensions do not rise");
    extensions.push({ type, critical: critical === 1, value });
  }
  return extensions;
}

/** This version defines no extension. */
export function refuseCritical(extensions: readonly Extension[]): void {
  if (extensions.some((extension) => extension.critical)) throw new UnsupportedError("unknown critical extension");
}

export function encodeExtensions(extensions: readonly Extension[]): Octets {
  const encoded = extensions.map((each) => concat(uint(each.type, 2), uint(each.critical ? 1 : 0, 1), vector(each.value, 0, 0xffff)));
  return vector(concat(...encoded), 0, 0xffff);
}
