// Whether a message is a carrier [R-car-04], and what it carries.
import { oneAddress } from "./address.js";
import { parseEnvelope, type Envelope } from "./envelope.js";
import { Refusal } from "./failure.js";
import { bodies, parseHeaderBlock } from "./header.js";
import { contentDisposition, contentType, splitMultipart, transferEncoding, type ParameterisedValue, type Part } from "./mime.js";
import { latin1, type Octets } from "./octets.js";
import { decodePart, hasMagic } from "./transfer.js";

const MEDIA_TYPE = "application/mta-seal";
const LOCAL_PART = "mta-seal";
const DEPTH_LIMIT = 3;
const BEGINS_WITHIN = 65536;

interface Candidate {
  readonly byMediaType: boolean;
  readonly encoding: string | undefined;
  readonly text: string;
  readonly delimited: boolean;
  readonly hasMagic: boolean;
  /** Whether it begins within the octets where a part must. */
  readonly early: boolean;
}

export interface Carried {
  readonly envelope: Envelope;
  readonly octets: Octets;
}

/** Throws a Refusal; with stage `recognition` and failure `none` the message is ordinary mail [R-car-05]. */
export function recognise(message: Octets, isOwn: (domain: string) => boolean): Carried {
  const text = latin1(message);
  const part = sealedPart(text);
  const octets = part.encoding === undefined ? undefined : decodePart(part.text, part.encoding, part.delimited);
  if (octets === undefined) throw new Refusal("limits", "carrier-malformed", "the part does not decode");
  const envelope = parseEnvelope(octets);
  if (!isOwn(envelope.header.recipientDomain)) throw new Refusal("domain", "carrier-foreign", "not for a domain of this gateway");
  return { envelope, octets };
}

function ordinary(reason: string): Refusal {
  return new Refusal("recognition", "none", reason);
}

function sealedPart(text: string): Candidate {
  const header = parseHeaderBlock(text, 0, text.length);
  const from = bodies(header, "from");
  const author = from.length === 1 ? oneAddress(from[0]!) : undefined;
  if (author?.local !== LOCAL_PART) throw ordinary("not from mta-seal@");

  const message: Part = { header, body: { start: header.end, end: text.length, delimited: false } };
  const found = candidates(text, message, header.end, 0);
  const [first, second] = found.filter((each) => each.hasMagic);
  if (first?.early && second !== undefined) throw new Refusal("limits", "two-parts", "more than one sealed part");
  // A file name is anybody's; the media type claims to be sealed [R-car-05].
  const claimed = found.some((each) => each.byMediaType && !each.hasMagic);
  if (claimed) throw new Refusal("limits", "carrier-malformed", "the media type without the magic");
  if (first === undefined || !first.early) throw ordinary("no sealed part");
  return first;
}

/** The parts with the media type or a file name, down to the depth where they count. */
function candidates(text: string, part: Part, bodyStart: number, depth: number): readonly Candidate[] {
  const type = contentType(part.header);
  if (type === undefined) return [];
  if (type.value.startsWith("multipart/")) {
    const boundary = type.parameters.get("boundary")?.[0];
    if (type.value !== "multipart/mixed" || depth === DEPTH_LIMIT || !boundary || !isIdentity(transferEncoding(part.header))) return [];
    return splitMultipart(text, part.body, boundary).flatMap((each) => candidates(text, each, bodyStart, depth + 1));
  }
  const byMediaType = type.value === MEDIA_TYPE;
  const named = hasFileName(type, "name") || hasFileName(contentDisposition(part.header), "filename");
  if (type.value.startsWith("message/") || !(byMediaType || named)) return [];
  const encoding = transferEncoding(part.header);
  const body = text.slice(part.body.start, part.body.end);
  return [
    {
      byMediaType,
      encoding,
      text: body,
      delimited: part.body.delimited,
      hasMagic: hasMagic(body, encoding),
      early: part.body.start - bodyStart < BEGINS_WITHIN,
    },
  ];
}

/** Whether an encoding leaves the octets as they are. */
function isIdentity(encoding: string | undefined): boolean {
  return encoding === "7bit" || encoding === "8bit" || encoding === "binary";
}

function hasFileName(value: ParameterisedValue | undefined, parameter: string): boolean {
  return (value?.parameters.get(parameter) ?? []).some((name) => /.\.mtaseal$/is.test(name));
}
