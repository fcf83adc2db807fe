import { labelled, sha256 } from "./labels.js";
import { uint, vector, type Octets } from "./octets.js";

/** [R-key-01] */
export function sealingKeyId(suite: number, publicKey: Octets): Octets {
  return sha256(labelled("sealing-key-id", uint(suite, 2), vector(publicKey, 1, 0xffff)));
}

/** [R-key-01] */
export function signingKeyId(publicKey: Octets): Octets {
  return sha256(labelled("signing-key-id", publicKey));
}

/** The fingerprint of an identity key [R-key-01]. */
export function fingerprint(publicKey: Octets): Octets {
  return sha256(labelled("identity", publicKey));
}
