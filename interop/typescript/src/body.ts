// The body of an envelope [R-env-07]: C2SP chunked-encryption with AEAD_AES_256_GCM and SHA-512.
import { createCipheriv, createDecipheriv, createHmac, timingSafeEqual } from "node:crypto";
import { labelled } from "./labels.js";
import { ascii, concat, type Octets } from "./octets.js";

export const SALT_LENGTH = 24;
const COMMITMENT_LENGTH = 32;
const CHUNK = 16384;
const TAG = 16;
const KEY_LENGTH = 32;
const NONCE_LENGTH = 12;

interface ChunkKeys {
  readonly key: Octets;
  readonly baseNonce: Octets;
  readonly commitment: Octets;
}

function deriveKeys(contentKey: Octets, salt: Octets, envelopeId: Octets): ChunkKeys {
  const info = concat(ascii("c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0"), salt, labelled("body", envelopeId));
  const okm = hkdfExpand(contentKey, info, KEY_LENGTH + NONCE_LENGTH + COMMITMENT_LENGTH);
  return {
    key: okm.subarray(0, KEY_LENGTH),
    baseNonce: okm.subarray(KEY_LENGTH, KEY_LENGTH + NONCE_LENGTH),
    commitment: okm.subarray(KEY_LENGTH + NONCE_LENGTH),
  };
}

/** HKDF-Expand of RFC 5869 with SHA-512. */
function hkdfExpand(prk: Octets, info: Octets, length: number): Octets {
  let block: Octets = new Uint8Array(0);
  let okm: Octets = block;
  for (let counter = 1; okm.length < length; counter++) {
    block = new Uint8Array(createHmac("sha512", prk).update(block).update(info).update(new Uint8Array([counter])).digest());
    okm = concat(okm, block);
  }
  return okm.subarray(0, length);
}

function chunkNonce(baseNonce: Octets, counter: number): Octets {
  const nonce = new Uint8Array(baseNonce);
  for (let i = NONCE_LENGTH - 1, rest = counter; rest > 0; i--) {
    nonce[i] = nonce[i]! ^ (rest % 256);
    rest = Math.floor(rest / 256);
  }
  return nonce;
}

/** What is known of a body before its content is made: the opening signature covers it [R-con-03]. */
export interface BodyHead {
  readonly salt: Octets;
  readonly commitment: Octets;
}

export class BodySealer {
  readonly head: BodyHead;
  readonly #keys: ChunkKeys;

  constructor(contentKey: Octets, salt: Octets, envelopeId: Octets) {
    this.#keys = deriveKeys(contentKey, salt, envelopeId);
    this.head = { salt, commitment: this.#keys.commitment };
  }

  seal(content: Octets): Octets {
    const parts: Octets[] = [this.head.salt, this.head.commitment];
    // The last chunk is shorter than the others, and may be empty.
    for (let counter = 0; counter * CHUNK <= content.length; counter++) {
      const cipher = createCipheriv("aes-256-gcm", this.#keys.key, chunkNonce(this.#keys.baseNonce, counter));
      parts.push(cipher.update(content.subarray(counter * CHUNK, (counter + 1) * CHUNK)), cipher.final(), cipher.getAuthTag());
    }
    return concat(...parts);
  }
}

export class BodyOpener {
  readonly head: BodyHead;
  readonly #keys: ChunkKeys;
  readonly #chunks: Octets;

  private constructor(head: BodyHead, keys: ChunkKeys, chunks: Octets) {
    this.head = head;
    this.#keys = keys;
    this.#chunks = chunks;
  }

  /** Nothing if the commitment does not match; it is compared before anything is decrypted. */
  static begin(contentKey: Octets, envelopeId: Octets, body: Octets): BodyOpener | undefined {
    if (body.length < SALT_LENGTH + COMMITMENT_LENGTH) return undefined;
    const salt = body.subarray(0, SALT_LENGTH);
    const commitment = body.subarray(SALT_LENGTH, SALT_LENGTH + COMMITMENT_LENGTH);
    const keys = deriveKeys(contentKey, salt, envelopeId);
    if (!timingSafeEqual(commitment, keys.commitment)) return undefined;
    return new BodyOpener({ salt, commitment }, keys, body.subarray(SALT_LENGTH + COMMITMENT_LENGTH));
  }

  /** Whether the octets behind the commitment can be all of a body. */
  get complete(): boolean {
    const last = this.#chunks.length % (CHUNK + TAG);
    return last >= TAG;
  }

  get count(): number {
    return Math.ceil(this.#chunks.length / (CHUNK + TAG));
  }

  /** The plaintext of one chunk; nothing if it is not authentic. */
  chunk(counter: number): Octets | undefined {
    const sealed = this.#chunks.subarray(counter * (CHUNK + TAG), (counter + 1) * (CHUNK + TAG));
    if (sealed.length < TAG) return undefined;
    const decipher = createDecipheriv("aes-256-gcm", this.#keys.key, chunkNonce(this.#keys.baseNonce, counter));
    decipher.setAuthTag(sealed.subarray(sealed.length - TAG));
    try {
      return concat(decipher.update(sealed.subarray(0, sealed.length - TAG)), decipher.final());
    } catch {
      return undefined;
    }
  }
}
