import { encodeExtensions, parseExtensions, refuseCritical, UnsupportedError, type Extension } from "./extensions.js";
import { Refusal } from "./failure.js";
import { isIdentity } from "./identity.js";
import { labelled, sha256 } from "./labels.js";
import { ascii, concat, EndsEarlyError, FormError, latin1, Reader, startsWith, uint, vector, type Octets } from "./octets.js";
import { suite, type Suite } from "./suites.js";

export const MAGIC = new Uint8Array([0xd3, 0x4d, 0x54, 0x41, 0x53, 0x45, 0x41, 0x4c]);
const VERSION = 1;
const HEADER_LIMIT = 4096;
const SEALED_KEY_LENGTH = 48;

/** [R-env-01] */
export interface Header {
  readonly suite: Suite;
  readonly keyId: Octets;
  readonly recipientDomain: string;
  readonly extensions: readonly Extension[];
  /** All hashes are over the header as received [R-env-02]. */
  readonly octets: Octets;
}

export interface Envelope {
  readonly header: Header;
  readonly enc: Octets;
  readonly sealedKey: Octets;
  readonly body: Octets;
}

export function encodeHeader(of: Suite, keyId: Octets, recipientDomain: string, extensions: readonly Extension[] = []): Octets {
  return concat(
    MAGIC,
    uint(VERSION, 1),
    uint(of.number, 2),
    keyId,
    vector(ascii(recipientDomain), 1, 253),
    encodeExtensions(extensions),
  );
}

/** The envelope, or the refusal that its header leads to. */
export function parseEnvelope(octets: Octets): Envelope {
  try {
    return splitEnvelope(parseHeader(octets), octets);
  } catch (error) {
    const refuse = (failure: "carrier-unsupported" | "carrier-malformed" | "unauthentic") => new Refusal("limits", failure, String(error));
    if (error instanceof UnsupportedError) throw refuse("carrier-unsupported");
    // One that ends before its sealed key does fails like a cryptographic check [R-env-03].
    if (error instanceof EndsEarlyError) throw refuse("unauthentic");
    if (error instanceof FormError) throw refuse("carrier-malformed");
    throw error;
  }
}

/** The version is judged first, then the suite, then the rest [R-env-03]. */
function parseHeader(envelope: Octets): Header {
  if (!startsWith(MAGIC, envelope.subarray(0, MAGIC.length))) throw new FormError("no magic");
  const reader = new Reader(envelope);
  reader.take(MAGIC.length);
  const version = reader.uint(1);
  if (version !== VERSION) throw new UnsupportedError(`version ${version}`);
  const number = reader.uint(2);
  const known = suite(number);
  if (known === undefined) throw new UnsupportedError(`suite ${number}`);

  const keyId = reader.take(32);
  const recipientDomain = latin1(reader.vector(1, 253));
  if (!isIdentity(recipientDomain)) throw new FormError("the recipient domain is no identity");
  const length = reader.uint(2);
  if (reader.at + length > HEADER_LIMIT) throw new FormError("the header is too long");
  const extensions = wholeExtensions(reader.take(length));
  refuseCritical(extensions);
  return { suite: known, keyId, recipientDomain, extensions, octets: envelope.subarray(0, reader.at) };
}

/** All of the list is there: that it ends within an extension is an error of its form. */
function wholeExtensions(octets: Octets): readonly Extension[] {
  try {
    return parseExtensions(octets);
  } catch (error) {
    throw error instanceof EndsEarlyError ? new FormError("the list ends within an extension") : error;
  }
}

function splitEnvelope(header: Header, envelope: Octets): Envelope {
  const reader = new Reader(envelope);
  reader.take(header.octets.length);
  return { header, enc: reader.take(header.suite.nenc), sealedKey: reader.take(SEALED_KEY_LENGTH), body: reader.rest };
}

export function envelopeIdOf({ header, enc, sealedKey }: Envelope): Octets {
  return envelopeId(header.octets, enc, sealedKey);
}

/** The HPKE `info` [R-env-05]. */
export function contentKeyInfo(header: Octets): Octets {
  return labelled("content-key", sha256(header));
}

/** [R-env-06] */
export function envelopeId(header: Octets, enc: Octets, sealedKey: Octets): Octets {
  return sha256(labelled("envelope-id", vector(header, 1, 0xffff), vector(enc, 1, 0xffff), sealedKey));
}
