// The suites and their HPKE [R-suite-01], [R-suite-03].
import { Aes256Gcm, CipherSuite, HkdfSha256 } from "@hpke/core";
import { DhkemX25519HkdfSha256 } from "@hpke/dhkem-x25519";
import { XWing } from "@hpke/hybridkem-x-wing";
import { x25519 } from "@noble/curves/ed25519";
import type { Octets } from "./octets.js";

export interface Suite {
  readonly number: number;
  readonly npk: number;
  readonly nsk: number;
  readonly nenc: number;
  /** [R-suite-04] */
  readonly isPublicKey: (key: Octets) => boolean;
  readonly hpke: CipherSuite;
}

const kdf = () => new HkdfSha256();
const aead = () => new Aes256Gcm();

const SUITES: readonly Suite[] = [
  {
    number: 1,
    npk: 32,
    nsk: 32,
    nenc: 32,
    isPublicKey: isX25519,
    hpke: new CipherSuite({ kem: new DhkemX25519HkdfSha256(), kdf: kdf(), aead: aead() }),
  },
  {
    number: 2,
    npk: 1216,
    nsk: 32,
    nenc: 1120,
    isPublicKey: (key) => isMlKem768(key.subarray(0, 1184)) && isX25519(key.subarray(1184)),
    hpke: new CipherSuite({ kem: new XWing(), kdf: kdf(), aead: aead() }),
  },
];

/** The suite of that number, if it is known [R-suite-02]. */
export function suite(number: number): Suite | undefined {
  return SUITES.find((each) => each.number === number);
}

export function isSealingKey(of: Suite, key: Octets): boolean {
  return key.length === of.npk && of.isPublicKey(key);
}

/** Not of small order: every scalar is a multiple of 8, so such a point leads to zero, which the library refuses. */
function isX25519(key: Octets): boolean {
  try {
    x25519.scalarMult(new Uint8Array(32).fill(1), key);
    return true;
  } catch {
    return false;
  }
}

const Q = 3329;

/** The modulus check of FIPS 203, section 7.2: every coefficient of 12 bits is below q. */
function isMlKem768(key: Octets): boolean {
  for (let i = 0; i < 1152; i += 3) {
    const [a, b, c] = [key[i]!, key[i + 1]!, key[i + 2]!];
    if ((a | ((b & 0x0f) << 8)) >= Q || ((b >> 4) | (c << 4)) >= Q) return false;
  }
  return true;
}

export interface Encapsulated {
  readonly enc: Octets;
  readonly sealed: Octets;
}

/** `randomness` is that of the encapsulation, given by test vectors only. */
export async function hpkeSeal(of: Suite, publicKey: Octets, info: Octets, plain: Octets, randomness?: Octets): Promise<Encapsulated> {
  const recipientPublicKey = await of.hpke.kem.deserializePublicKey(exact(publicKey));
  const ekm = randomness && { ekm: exact(randomness) };
  const { ct, enc } = await of.hpke.seal({ recipientPublicKey, info: exact(info), ...ekm }, exact(plain));
  return { enc: new Uint8Array(enc), sealed: new Uint8Array(ct) };
}

/** Nothing if it does not open. */
export async function hpkeOpen(of: Suite, privateKey: Octets, enc: Octets, info: Octets, sealed: Octets): Promise<Octets | undefined> {
  try {
    const recipientKey = await of.hpke.kem.deserializePrivateKey(exact(privateKey));
    return new Uint8Array(await of.hpke.open({ recipientKey, enc: exact(enc), info: exact(info) }, exact(sealed)));
  } catch {
    return undefined;
  }
}

export async function sealingPublicKeyOf(of: Suite, privateKey: Octets): Promise<Octets> {
  if (of.number === 1) return x25519.getPublicKey(privateKey);
  const pair = await new XWing().generateKeyPairDerand(new Uint8Array(privateKey));
  return new Uint8Array(await of.hpke.kem.serializePublicKey(pair.publicKey));
}

/** The buffer of these octets and of no others. */
function exact(octets: Octets): ArrayBuffer {
  return new Uint8Array(octets).buffer;
}
