// Whether a message is a carrier [R-car-04], [R-car-05], [R-car-09], and what it carries.
import { authorOf } from "./address.js";
import { parseEnvelope, type Envelope } from "./envelope.js";
import { Refusal } from "./failure.js";
import { HEADER_LIMIT, parseHeaderBlock } from "./header.js";
import {
  contentDisposition, contentType, partHeaderLength, readPart, splitMultipart, transferEncoding, type ParameterisedValue, type Part, type Region,
} from "./mime.js";
import { latin1, type Octets } from "./octets.js";
import { decodePart, hasMagic } from "./transfer.js";

const MEDIA_TYPE = "application/mta-seal";
const SUFFIX = ".mtaseal";
const LOCAL_PART = "mta-seal";
const DEPTH_LIMIT = 3;
const BEGINS_WITHIN = 65536;
const PART_HEADER_LIMIT = 65536;
const PARTS_LIMIT = 1000;
const BOUNDARY = /^[ -~]{0,199}[!-~]$/;
const IDENTITY: ReadonlySet<string | undefined> = new Set(["7bit", "8bit", "binary"]);

export interface Carried {
  readonly envelope: Envelope;
  readonly octets: Octets;
}

/** Throws a Refusal; with stage `recognition` and failure `none` the message is ordinary mail [R-car-05]. */
export function recognise(message: Octets, isOwn: (domain: string) => boolean): Carried {
  const octets = sealedOctets(latin1(message));
  if (octets === undefined) throw ordinary("no sealed part");
  const envelope = parseEnvelope(octets);
  if (!isOwn(envelope.header.recipientDomain)) throw new Refusal("domain", "carrier-foreign", "not for a domain of this gateway");
  return { envelope, octets };
}

function ordinary(reason: string): Refusal {
  return new Refusal("recognition", "none", reason);
}

function malformed(reason: string): Refusal {
  return new Refusal("limits", "carrier-malformed", reason);
}

function sealedOctets(text: string): Octets | undefined {
  const header = parseHeaderBlock(text, 0, text.length);
  if (header.end > HEADER_LIMIT) throw new Refusal("limits", "header-too-large", "the header block is too large");
  if (authorOf(header)?.local !== LOCAL_PART) throw ordinary("not from mta-seal@");
  const search = new Search(text, header.end);
  search.lookAt({ header, body: { start: header.end, end: text.length, delimited: false } }, 0);
  return search.found;
}

/** Goes through the parts in their order, so that the first fault decides [R-car-05]. */
class Search {
  found: Octets | undefined;
  private parts = 0;

  constructor(
    private readonly text: string,
    private readonly bodyStart: number,
  ) {}

  /** A part, or those inside multipart/mixed down to the depth where they count. */
  lookAt(part: Part, depth: number): void {
    const type = contentType(part.header);
    if (type === undefined || type.value.startsWith("message/")) return;
    if (!type.value.startsWith("multipart/")) return this.leaf(part, type);
    const boundary = type.parameters.get("boundary")?.[0];
    if (type.value !== "multipart/mixed" || depth === DEPTH_LIMIT || boundary === undefined || !BOUNDARY.test(boundary)) return;
    if (!IDENTITY.has(transferEncoding(part.header))) return;
    for (const region of splitMultipart(this.text, part.body, boundary)) this.part(region, depth + 1);
  }

  /** A part within the limits of [R-car-09]. */
  private part(region: Region, depth: number): void {
    this.parts++;
    if (this.found !== undefined && this.parts > PARTS_LIMIT) throw malformed("too many parts");
    if (partHeaderLength(this.text, region) > PART_HEADER_LIMIT) {
      if (this.found !== undefined) throw malformed("the header block of a part is too large");
      return;
    }
    const part = readPart(this.text, region);
    if (part !== undefined) this.lookAt(part, depth);
  }

  private leaf(part: Part, type: ParameterisedValue): void {
    const typed = type.value === MEDIA_TYPE;
    // A file name is anybody's; the media type claims to be sealed.
    const named = hasFileName(type, "name") || hasFileName(contentDisposition(part.header), "filename");
    if (!typed && !named) return;
    if (this.found === undefined && part.body.start - this.bodyStart >= BEGINS_WITHIN) return;
    const encoding = transferEncoding(part.header);
    const text = this.text.slice(part.body.start, part.body.end);
    if (encoding === undefined || !hasMagic(text, encoding)) {
      if (typed) throw malformed("the media type without the magic");
      return;
    }
    if (this.found !== undefined) throw new Refusal("limits", "two-parts", "more than one sealed part");
    this.found = decodePart(text, encoding, part.body.delimited);
    if (this.found === undefined) throw malformed("the part does not decode");
  }
}

function hasFileName(value: ParameterisedValue | undefined, parameter: string): boolean {
  return (value?.parameters.get(parameter) ?? []).some((name) => name.length > SUFFIX.length && name.toLowerCase().endsWith(SUFFIX));
}
