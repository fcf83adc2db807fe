import { createHash } from "node:crypto";
import { ascii, concat, vector, type Octets } from "./octets.js";

/** [R-lab-01] */
export type Label =
  | "sealing-key-id"
  | "signing-key-id"
  | "identity"
  | "policy"
  | "rollover"
  | "content-key"
  | "envelope-id"
  | "body"
  | "opening"
  | "closing";

/** A structure that begins with its label. */
export function labelled(label: Label, ...fields: readonly Octets[]): Octets {
  return concat(vector(ascii(`mta-seal/1 ${label}`), 1, 255), ...fields);
}

export function sha256(octets: Octets): Octets {
  return new Uint8Array(createHash("sha256").update(octets).digest());
}
