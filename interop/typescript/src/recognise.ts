// Whether a message is a carrier [R-car-04], and what it carries.
import { oneAddress } from "./address.js";
import { parseHeader, type Header } from "./envelope.js";
import { UnsupportedError } from "./extensions.js";
import { Refusal } from "./failure.js";
import { bodies, parseHeaderBlock } from "./header.js";
import { contentDisposition, contentType, splitMultipart, transferEncoding, type ParameterisedValue, type Part } from "./mime.js";
import { FormError, latin1, type Octets } from "./octets.js";
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
  readonly header: Header;
  readonly envelope: Octets;
}

/** Throws a Refusal; with stage `recognition` and failure `none` the message is ordinary mail [R-car-05]. */
export function recognise(message: Octets, isOwn: (domain: string) => boolean): Carried {
  const text = latin1(message);
  const part = sealedPart(text);
  const envelope = part.encoding === undefined ? undefined : decodePart(part.text, part.encoding, part.delimited);
  if (envelope === undefined) throw new Refusal("limits", "carrier-malformed", "the part does not decode");
  const header = headerOf(envelope);
  if (!isOwn(header.recipientDomain)) throw new Refusal("domain", "carrier-foreign", "not for a domain of this gateway");
  return { header, envelope };
}

/** Version, suite and form of a header, as a refusal. */
export function headerOf(envelope: Octets): Header {
  try {
    return parseHeader(envelope);
  } catch (error) {
    if (error instanceof UnsupportedError) throw new Refusal("limits", "carrier-unsupported", error.message);
    if (error instanceof FormError) throw new Refusal("limits", "carrier-malformed", error.message);
    throw error;
  }
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
  if (first?.early && second) throw new Refusal("recognition", "two-parts", "more than one sealed part");
  if (found.some((each) => each.byMediaType && !each.hasMagic))
    throw new Refusal("recognition", "carrier-malformed", "the media type without the magic");
  if (first === undefined || !first.early) throw ordinary("no sealed part");
  return first;
}

/** The parts with the media type or a file name, down to the depth where they count. */
function candidates(text: string, part: Part, bodyStart: number, depth: number): readonly Candidate[] {
  const type = contentType(part.header);
  if (type === undefined) return [];
  if (type.value.startsWith("multipart/")) {
    const boundary = type.parameters.get("boundary")?.[0];
    if (type.value !== "multipart/mixed" || depth === DEPTH_LIMIT || !boundary) return [];
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

function hasFileName(value: ParameterisedValue | undefined, parameter: string): boolean {
  return (value?.parameters.get(parameter) ?? []).some((name) => name.toLowerCase().endsWith(".mtaseal"));
}
