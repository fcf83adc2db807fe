/** Rows of the table of [R-smtp-01] that this implementation answers with; `delivered-before` is answered 250 [R-uns-04]. */
export type Failure =
  | "policy-unknown"
  | "policy-required"
  | "policy-unusable"
  | "demand-refused"
  | "path-unfit"
  | "bare-line-end"
  | "loop"
  | "not-aligned"
  | "seal-demanded"
  | "header-too-large"
  | "carrier-malformed"
  | "carrier-unsupported"
  | "carrier-foreign"
  | "two-parts"
  | "unknown-key"
  | "destroyed-key"
  | "unauthentic"
  | "sender-unknown"
  | "sender-path"
  | "too-old"
  | "in-future"
  | "not-signed-recipient"
  | "not-local"
  | "delivered-before"
  | "none";

/** Where the checks end; in the order of [R-uns-01] when unsealing. */
export type Stage =
  | "recognition" | "limits" | "domain" | "key" | "hpke" | "commitment" | "body" | "prefix" | "sender-policy" | "opening"
  | "type" | "paths" | "reverse-path" | "time" | "delivered" | "recipients" | "bytes" | "blocks" | "padding" | "closing"
  | "record" | "record-signature" | "key-record" | "policy" | "path" | "decision" | "rollover" | "public-key" | "words" | "signature"
  | "identity" | "ordinary";

export class Refusal extends Error {
  constructor(
    readonly stage: Stage,
    readonly failure: Failure,
    message: string,
  ) {
    super(message);
  }
}
