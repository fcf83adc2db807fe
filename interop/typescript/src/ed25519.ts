// Ed25519 as [R-sig-01] has it. Libraries differ about keys and points that are not canonical or of small order, and
// about the cofactor; so the points are checked here, one requirement a line.
import { createHash } from "node:crypto";
import { ed25519 } from "@noble/curves/ed25519";
import { concat, equal, type Octets } from "./octets.js";

const Point = ed25519.Point;
type Point = InstanceType<typeof Point>;
const ORDER = Point.Fn.ORDER;

export function publicKeyOf(seed: Octets): Octets {
  return ed25519.getPublicKey(seed);
}

export function sign(message: Octets, seed: Octets): Octets {
  return ed25519.sign(message, seed);
}

/** A point that is canonically encoded and not of small order. */
function parsePoint(encoded: Octets): Point | undefined {
  try {
    const point = Point.fromBytes(encoded, false);
    return point.isSmallOrder() ? undefined : point;
  } catch {
    return undefined;
  }
}

export function isPublicKey(encoded: Octets): boolean {
  return encoded.length === 32 && parsePoint(encoded) !== undefined;
}

export function verify(signature: Octets, message: Octets, publicKey: Octets): boolean {
  if (signature.length !== 64 || publicKey.length !== 32) return false;
  const encodedR = signature.subarray(0, 32);
  const a = parsePoint(publicKey);
  const r = parsePoint(encodedR);
  const s = littleEndian(signature.subarray(32));
  if (a === undefined || r === undefined || s >= ORDER) return false;
  const digest = createHash("sha512").update(concat(encodedR, publicKey, message)).digest();
  const k = littleEndian(new Uint8Array(digest)) % ORDER;
  // Without cofactor: [S]B - [k]A is R itself.
  const expected = multiply(Point.BASE, s).subtract(multiply(a, k));
  return equal(expected.toBytes(), encodedR);
}

function multiply(point: Point, scalar: bigint): Point {
  return scalar === 0n ? Point.ZERO : point.multiplyUnsafe(scalar);
}

function littleEndian(octets: Octets): bigint {
  return octets.reduceRight((sum, octet) => (sum << 8n) | BigInt(octet), 0n);
}
