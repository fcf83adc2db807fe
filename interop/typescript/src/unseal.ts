// The checks of [R-uns-01], in their order; what concerns a transaction (13, 16, 17) is the gateway's.
import { authorOf } from "./address.js";
import { BodyOpener } from "./body.js";
import { closingInput, openingInput, paddedLength, SIGNATURE_LENGTH } from "./content.js";
import { ContentReader } from "./content-reader.js";
import * as ed25519 from "./ed25519.js";
import { contentKeyInfo, envelopeIdOf, type Envelope, type Header } from "./envelope.js";
import { UnsupportedError } from "./extensions.js";
import { Refusal } from "./failure.js";
import { HEADER_LIMIT, loops, parseHeaderBlock, type HeaderBlock } from "./header.js";
import { signingKeyId } from "./keys.js";
import { LineEnds } from "./line-ends.js";
import { concat, equal, FormError, latin1, type Octets } from "./octets.js";
import { isEnvid, isOrcpt, lacksSmtputf8, parseMailbox, sameMailbox } from "./paths.js";
import { parsePrefix, PREFIX_LIMIT, TYPE_MAIL, type ForwardPath, type Prefix } from "./prefix.js";
import { recognise } from "./recognise.js";
import type { SenderDecision } from "./sender.js";
import { hpkeOpen } from "./suites.js";

const CLOCK_TOLERANCE = 3600;

export interface UnsealContext {
  readonly isOwn: (domain: string) => boolean;
  /** The private key that a key id names at a domain of the gateway. */
  readonly privateKey: (domain: string, suite: number, keyId: Octets) => Octets | "destroyed" | undefined;
  readonly sender: (domain: string) => SenderDecision;
  readonly now: number;
  /** How many seconds old a message may be. */
  readonly window: number;
  /** The recipients of the outer SMTP envelope; nothing: the whole signed list is delivered [R-uns-03]. */
  readonly recipients: readonly string[] | undefined;
  /** Whether a recipient was delivered before, under either name [R-uns-04]. */
  readonly isDelivered: (claim: Claim) => boolean;
  /** Whether the sender's mail must be aligned [R-uns-11]. */
  readonly requireAligned?: boolean;
}

export interface Claim {
  readonly envelopeId: Octets;
  readonly senderDomain: string;
  readonly deliveryId: Octets;
  readonly recipient: string;
}

export interface Unsealed {
  readonly header: Header;
  readonly envelopeId: Octets;
  readonly prefix: Prefix;
  readonly message: Octets;
  /** To whom it is still to be delivered. */
  readonly forwardPaths: readonly ForwardPath[];
  readonly refusedRecipients: readonly string[];
}

export async function unseal(message: Octets, context: UnsealContext): Promise<Unsealed> {
  // Checks 1 and 2.
  const { envelope } = recognise(message, context.isOwn);
  const { header } = envelope;
  const opened = await open(envelope, context);
  const { reader, prefix, openingSignature } = opened;

  const signingKey = senderKey(prefix, context);
  if (!ed25519.verify(openingSignature, opened.openingInput, signingKey))
    throw new Refusal("opening", "unauthentic", "the opening signature does not verify");

  checkPaths(prefix, header.recipientDomain, context.requireAligned === true);
  checkTime(prefix, context);
  const recipients = selectRecipients(opened.envelopeId, prefix, context);

  reader.beginHash();
  const data = readBlocks(reader, new InnerHeader(context.requireAligned === true ? prefix.senderDomain : undefined));
  checkEnd(reader, openingSignature, signingKey);
  return { header, envelopeId: opened.envelopeId, prefix, message: data, ...recipients };
}

interface Opened {
  readonly envelopeId: Octets;
  readonly reader: ContentReader;
  readonly prefix: Prefix;
  readonly openingInput: Octets;
  readonly openingSignature: Octets;
}

/** Checks 3 to 6. */
async function open(envelope: Envelope, context: UnsealContext): Promise<Opened> {
  const { header } = envelope;
  const key = context.privateKey(header.recipientDomain, header.suite.number, header.keyId);
  if (key === undefined) throw new Refusal("key", "unknown-key", "the key id names no key");
  if (key === "destroyed") throw new Refusal("key", "destroyed-key", "the key is destroyed");

  const contentKey = await hpkeOpen(header.suite, key, envelope.enc, contentKeyInfo(header.octets), envelope.sealedKey);
  if (contentKey?.length !== 32) throw new Refusal("hpke", "unauthentic", "HPKE does not open the content key");
  const id = envelopeIdOf(envelope);
  const opener = BodyOpener.begin(contentKey, id, envelope.body);
  if (opener === undefined) throw new Refusal("commitment", "unauthentic", "the commitment does not match");

  const reader = new ContentReader(opener);
  const encodedPrefix = readPrefix(reader);
  const openingSignature = reader.exactly(SIGNATURE_LENGTH);
  if (openingSignature === undefined) throw malformedPrefix("the content ends in the opening signature");
  const prefix = interpretPrefix(encodedPrefix);
  return { envelopeId: id, reader, prefix, openingInput: openingInput(id, opener.head, encodedPrefix), openingSignature };
}

function malformedPrefix(message: string): Refusal {
  return new Refusal("prefix", "carrier-malformed", message);
}

function readPrefix(reader: ContentReader): Octets {
  const [a, b, c] = reader.exactly(3) ?? [];
  if (a === undefined || b === undefined || c === undefined) throw malformedPrefix("the content ends early");
  const length = (a << 16) | (b << 8) | c;
  if (length === 0 || length > PREFIX_LIMIT) throw malformedPrefix("the prefix is too long, or empty");
  const prefix = reader.exactly(length);
  if (prefix === undefined) throw malformedPrefix("the content ends in the prefix");
  return prefix;
}

function interpretPrefix(octets: Octets): Prefix {
  try {
    return parsePrefix(octets);
  } catch (error) {
    if (error instanceof UnsupportedError) throw new Refusal("prefix", "carrier-unsupported", error.message);
    if (error instanceof FormError) throw malformedPrefix(error.message);
    throw error;
  }
}

/** Check 7. */
function senderKey(prefix: Prefix, context: UnsealContext): Octets {
  const decision = context.sender(prefix.senderDomain);
  const refuse = (failure: "sender-unknown" | "unauthentic", message: string) => new Refusal("sender-policy", failure, message);
  if (decision.verdict === "defer") throw refuse("sender-unknown", "the policy of the sender cannot be had");
  if (decision.verdict === "refuse") throw refuse("unauthentic", "the policy of the sender has no signing key");
  const key = decision.policy.signingKeys.find((each) => equal(signingKeyId(each), prefix.signingKeyId));
  if (key !== undefined) return key;
  // A newer policy, which DNS does not show now, may list it.
  if (decision.source === "memory") throw refuse("sender-unknown", "the remembered policy does not list the signing key");
  throw refuse("unauthentic", "the policy of the sender does not list the signing key");
}

/** Check 9. */
function checkPaths({ type, reversePath, forwardPaths, senderDomain, foreign }: Prefix, recipientDomain: string, aligned: boolean): void {
  if (type !== TYPE_MAIL) throw new Refusal("type", "carrier-unsupported", "the content is no mail");
  const malformed = (message: string) => new Refusal("paths", "carrier-malformed", message);
  if (lacksSmtputf8(reversePath, forwardPaths))
    throw malformed("a path or ORCPT is not ASCII, and smtputf8 is 0");
  for (const path of forwardPaths) {
    if (parseMailbox(path.mailbox)?.identity !== recipientDomain) throw malformed("a forward-path is not of the recipient domain");
    if (!isOrcpt(path.orcpt)) throw malformed("ORCPT is not of its grammar");
  }
  const sender = reversePath.mailbox === "" ? undefined : parseMailbox(reversePath.mailbox);
  if (reversePath.mailbox !== "" && sender === undefined) throw malformed("the reverse-path is not of its grammar");
  if (!isEnvid(reversePath.envid)) throw malformed("ENVID is not of its grammar");
  if (sender !== undefined && sender.identity !== senderDomain && !foreign)
    throw new Refusal("reverse-path", "sender-path", "the reverse-path is not of the sender domain");
  if (aligned && foreign) throw new Refusal("reverse-path", "not-aligned", "the reverse-path is flagged foreign");
}

/** Check 10. */
function checkTime({ sealedAt }: Prefix, { now, window }: UnsealContext): void {
  if (sealedAt > BigInt(now + CLOCK_TOLERANCE)) throw new Refusal("time", "in-future", "sealed in the future");
  if (BigInt(now) - sealedAt > BigInt(window)) throw new Refusal("time", "too-old", "sealed before the window");
}

type Recipients = Pick<Unsealed, "forwardPaths" | "refusedRecipients">;

/** Checks 11 and 12. */
function selectRecipients(id: Octets, prefix: Prefix, { recipients, isDelivered }: UnsealContext): Recipients {
  const signed = prefix.forwardPaths;
  const chosen = recipients === undefined ? signed : signed.filter((path) => recipients.some((each) => sameMailbox(each, path.mailbox)));
  const refusedRecipients = (recipients ?? []).filter((each) => !signed.some((path) => sameMailbox(each, path.mailbox)));
  const claim = { envelopeId: id, senderDomain: prefix.senderDomain, deliveryId: prefix.deliveryId };
  const forwardPaths = chosen.filter((path) => !isDelivered({ ...claim, recipient: path.mailbox }));
  if (forwardPaths.length > 0) return { forwardPaths, refusedRecipients };
  if (chosen.length > 0) throw new Refusal("delivered", "delivered-before", "delivered before");
  throw new Refusal("recipients", "not-signed-recipient", "no recipient was signed");
}

/** Check 14, over the octets as they come, and the blocks of check 15. */
function readBlocks(reader: ContentReader, header: InnerHeader): Octets {
  const lineEnds = new LineEnds();
  const bare = () => new Refusal("bytes", "bare-line-end", "bare CR, bare LF or NUL in the message");
  const early = () => new Refusal("blocks", "unauthentic", "a block does not end within the content");
  const parts: Octets[] = [];
  for (;;) {
    const length = reader.exactly(2);
    if (length === undefined) throw early();
    let missing = length[0]! * 256 + length[1]!;
    if (missing === 0) break;
    while (missing > 0) {
      const data = reader.some(missing);
      if (data === undefined) throw early();
      header.accept(data);
      if (!lineEnds.accept(data)) throw bare();
      parts.push(data);
      missing -= data.length;
    }
  }
  header.end();
  if (!lineEnds.end()) throw bare();
  return concat(...parts);
}

/** What check 14 says about the header block of a message, once it is complete. */
class InnerHeader {
  #text = "";
  #judged = false;

  /** With the domain of which the one author must be [R-uns-11]. */
  constructor(private readonly alignedWith: string | undefined) {}

  accept(octets: Octets): void {
    if (this.#judged) return;
    this.#text += latin1(octets);
    // What a line is shows at its end.
    const lines = this.#text.lastIndexOf("\n") + 1;
    const header = parseHeaderBlock(this.#text, 0, lines);
    if (header.endedByEmptyLine || header.end < lines) this.judge(header);
    else if (header.end > HEADER_LIMIT) throw tooLarge();
  }

  end(): void {
    if (!this.#judged) this.judge(parseHeaderBlock(this.#text, 0, this.#text.length));
  }

  private judge(header: HeaderBlock): void {
    this.#judged = true;
    if (header.end > HEADER_LIMIT) throw tooLarge();
    if (loops(header)) throw new Refusal("bytes", "loop", "too many Received fields");
    if (this.alignedWith !== undefined && authorOf(header)?.identity !== this.alignedWith)
      throw new Refusal("bytes", "not-aligned", "not by one author of the sender domain");
  }
}

function tooLarge(): Refusal {
  return new Refusal("bytes", "header-too-large", "the header block is too large");
}

/** The rest of check 15. */
function checkEnd(reader: ContentReader, openingSignature: Octets, signingKey: Octets): void {
  const length = reader.read + SIGNATURE_LENGTH;
  const expected = paddedLength(length);
  const wrong = (message: string) => new Refusal("padding", "unauthentic", message);
  const padding = reader.exactly(expected - length);
  if (padding === undefined) throw wrong("the content is too short");
  if (padding.some((octet) => octet !== 0)) throw wrong("an octet of the padding is not zero");
  const hash = reader.hash();
  const closingSignature = reader.exactly(SIGNATURE_LENGTH);
  if (closingSignature === undefined) throw wrong("the content is too short");
  if (reader.some(1) !== undefined) throw wrong("the content is too long");
  if (!ed25519.verify(closingSignature, closingInput(openingSignature, hash), signingKey))
    throw new Refusal("closing", "unauthentic", "the closing signature does not verify");
}
