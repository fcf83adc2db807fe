import { randomBytes } from "node:crypto";
import { BodySealer, SALT_LENGTH } from "./body.js";
import { BLOCK_LIMIT, encodeContent, openingInput } from "./content.js";
import * as ed25519 from "./ed25519.js";
import { contentKeyInfo, encodeHeader, envelopeId } from "./envelope.js";
import { Refusal } from "./failure.js";
import { loops, parseHeaderBlock } from "./header.js";
import { sealingKeyId, signingKeyId } from "./keys.js";
import { isFit } from "./line-ends.js";
import { concat, FormError, latin1, utf8, type Octets } from "./octets.js";
import { isEnvid, isOrcpt, lacksSmtputf8, parseMailbox } from "./paths.js";
import { encodePrefix, TYPE_MAIL, type ForwardPath, type ReversePath } from "./prefix.js";
import { hpkeSeal, type Suite } from "./suites.js";

/** All that is random in an envelope. */
export interface Randomness {
  readonly contentKey: Octets;
  readonly salt: Octets;
  readonly deliveryId: Octets;
  /** Of the KEM; absent: the library draws its own. */
  readonly encapsulation?: Octets;
}

export function drawRandomness(): Randomness {
  const draw = (length: number) => new Uint8Array(randomBytes(length));
  return { contentKey: draw(32), salt: draw(SALT_LENGTH), deliveryId: draw(16) };
}

export interface SealRequest {
  readonly suite: Suite;
  readonly publicKey: Octets;
  readonly recipientDomain: string;
  readonly senderDomain: string;
  readonly signingSeed: Octets;
  readonly sealedAt: number;
  readonly reversePath: ReversePath;
  readonly forwardPaths: readonly ForwardPath[];
  readonly message: Octets;
  readonly blockSize?: number;
  readonly randomness?: Randomness;
}

export interface Sealed {
  readonly envelope: Octets;
  readonly envelopeId: Octets;
}

/** One envelope to one recipient domain [R-env-01], whatever the message looks like [R-car-08]. */
export async function seal(request: SealRequest): Promise<Sealed> {
  const { suite, recipientDomain, senderDomain, reversePath, forwardPaths } = request;
  const foreign = checkPaths(request);
  if (loops(parseHeaderBlock(latin1(request.message), 0, request.message.length))) throw new Refusal("bytes", "loop", "too many Received fields");
  if (!isFit(request.message)) throw new Refusal("bytes", "bare-line-end", "bare CR, bare LF or NUL in the message");
  const randomness = request.randomness ?? drawRandomness();
  const header = encodeHeader(suite, sealingKeyId(suite.number, request.publicKey), recipientDomain);
  const { enc, sealed: sealedKey } = await hpkeSeal(
    suite, request.publicKey, contentKeyInfo(header), randomness.contentKey, randomness.encapsulation,
  );
  const id = envelopeId(header, enc, sealedKey);
  const body = new BodySealer(randomness.contentKey, randomness.salt, id);
  const prefix = encodedPrefix({
    type: TYPE_MAIL,
    senderDomain,
    signingKeyId: signingKeyId(ed25519.publicKeyOf(request.signingSeed)),
    sealedAt: BigInt(request.sealedAt),
    foreign,
    deliveryId: randomness.deliveryId,
    reversePath,
    forwardPaths,
    extensions: [],
  });
  const content = encodeContent(
    prefix,
    (octets) => openingInput(id, body.head, octets),
    request.message,
    request.blockSize ?? BLOCK_LIMIT,
    (input) => ed25519.sign(input, request.signingSeed),
  );
  return { envelope: concat(header, enc, sealedKey, body.seal(content)), envelopeId: id };
}

function unfit(message: string): Refusal {
  return new Refusal("path", "path-unfit", message);
}

function encodedPrefix(prefix: Parameters<typeof encodePrefix>[0]): Octets {
  try {
    return encodePrefix(prefix);
  } catch (error) {
    if (error instanceof FormError) throw unfit(error.message);
    throw error;
  }
}

/** [R-con-02]; whether the reverse-path is of another domain than the sender's [R-seal-02]. */
function checkPaths(request: SealRequest): boolean {
  const { reversePath, forwardPaths, recipientDomain, senderDomain } = request;
  if (!isEnvid(reversePath.envid) || utf8(reversePath.envid).length > 100) throw unfit("ENVID is not of its grammar");
  if (lacksSmtputf8(reversePath, forwardPaths))
    throw unfit("a path or ORCPT is not ASCII, and SMTPUTF8 was not given");
  for (const path of forwardPaths) {
    if (parseMailbox(path.mailbox)?.identity !== recipientDomain) throw unfit("a forward-path is not of the recipient domain");
    if (!isOrcpt(path.orcpt)) throw unfit("ORCPT is not of its grammar");
  }
  if (forwardPaths.length === 0) throw unfit("no forward-path");
  if (reversePath.mailbox === "") return false;
  const sender = parseMailbox(reversePath.mailbox);
  if (sender === undefined) throw unfit("the reverse-path is not of its grammar");
  return sender.identity !== senderDomain;
}
