// MIME fields (RFC 2045, RFC 2183, RFC 2231) and the parts of a multipart (RFC 2046), as far as a carrier needs them.
import { bodies, lineAt, parseHeaderBlock, type HeaderBlock } from "./header.js";
import { mimeTokens, type Token } from "./lexer.js";

/** A value with parameters; everything in lower case but the values of the parameters. */
export interface ParameterisedValue {
  readonly value: string;
  readonly parameters: ReadonlyMap<string, readonly string[]>;
}

const TEXT_PLAIN: ParameterisedValue = { value: "text/plain", parameters: new Map() };

/** The media type of a part; nothing if its field stands twice or is not of its grammar. */
export function contentType(header: HeaderBlock): ParameterisedValue | undefined {
  const found = bodies(header, "content-type");
  if (found.length === 0) return TEXT_PLAIN;
  return found.length === 1 ? parameterised(found[0]!, 3) : undefined;
}

/** One like that is ignored. */
export function contentDisposition(header: HeaderBlock): ParameterisedValue | undefined {
  const found = bodies(header, "content-disposition");
  return found.length === 1 ? parameterised(found[0]!, 1) : undefined;
}

/** The transfer encoding in lower case; nothing if its field stands twice or is not of its grammar. */
export function transferEncoding(header: HeaderBlock): string | undefined {
  const found = bodies(header, "content-transfer-encoding");
  if (found.length === 0) return "8bit";
  return found.length === 1 ? parameterised(found[0]!, 1)?.value : undefined;
}

/** A value of one word, or of three (`type "/" subtype`), and parameters. */
function parameterised(body: string, words: 1 | 3): ParameterisedValue | undefined {
  const found = mimeTokens(body);
  if (found === undefined || found.length < words) return undefined;
  const head = found.slice(0, words);
  if (!head.every((token, i) => (i % 2 === 0 ? token.kind === "word" : isSpecial(token, "/")))) return undefined;
  const raw = rawParameters(found.slice(words));
  if (raw === undefined) return undefined;
  return { value: head.map((token) => token.text).join("").toLowerCase(), parameters: joinContinuations(raw) };
}

function isSpecial(token: Token | undefined, text: string): boolean {
  return token?.kind === "special" && token.text === text;
}

/** Empty parameters are skipped, and one that stands twice counts as absent [R-car-04]. */
function rawParameters(found: readonly Token[]): ReadonlyMap<string, string> | undefined {
  const raw = new Map<string, string>();
  const twice = new Set<string>();
  for (let i = 0; i < found.length; ) {
    if (!isSpecial(found[i], ";")) return undefined;
    i++;
    if (i === found.length || isSpecial(found[i], ";")) continue;
    const [name, equals, value] = found.slice(i, i + 3);
    if (name?.kind !== "word" || !isSpecial(equals, "=")) return undefined;
    if (value?.kind !== "word" && value?.kind !== "quoted") return undefined;
    const key = name.text.toLowerCase();
    if (raw.has(key)) twice.add(key);
    raw.set(key, value.kind === "word" ? value.text : value.value);
    i += 3;
  }
  for (const key of twice) raw.delete(key);
  return raw;
}

/** RFC 2231. A parameter may have a plain value beside a continued or an encoded one: each of them counts. */
function joinContinuations(raw: ReadonlyMap<string, string>): ReadonlyMap<string, readonly string[]> {
  const values = new Map<string, string[]>();
  const add = (name: string, value: string) => values.set(name, [...(values.get(name) ?? []), value]);
  for (const [key, value] of raw) {
    const [name, ...more] = key.split("*");
    if (more.length === 0) add(key, value);
    else if (more.length === 1 && more[0] === "") add(name!, percentDecode(withoutCharset(value)));
    else if (more[0] === "0") add(name!, joinFrom(raw, name!));
  }
  return values;
}

function joinFrom(raw: ReadonlyMap<string, string>, name: string): string {
  let joined = "";
  for (let i = 0; ; i++) {
    const plain = raw.get(`${name}*${i}`);
    const encoded = raw.get(`${name}*${i}*`);
    if (plain === undefined && encoded === undefined) return joined;
    joined += plain ?? percentDecode(i === 0 ? withoutCharset(encoded!) : encoded!);
  }
}

function withoutCharset(value: string): string {
  return value.replace(/^[^']*'[^']*'/, "");
}

function percentDecode(value: string): string {
  return value.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
}

/** A stretch of a message. */
export interface Region {
  readonly start: number;
  readonly end: number;
  /** Whether a delimiter follows, to which the CRLF before it belongs. */
  readonly delimited: boolean;
}

export interface Part {
  readonly header: HeaderBlock;
  readonly body: Region;
}

/** A part; nothing if no empty line ends its header [R-car-04]. */
export function readPart(text: string, region: Region): Part | undefined {
  const header = parseHeaderBlock(text, region.start, region.end);
  return header.endedByEmptyLine ? { header, body: { ...region, start: header.end } } : undefined;
}

/** Octets of the header block of a part, with the empty line, which alone ends it [R-car-09]. */
export function partHeaderLength(text: string, region: Region): number {
  if (text.startsWith("\r\n", region.start)) return 2;
  const end = text.indexOf("\r\n\r\n", region.start);
  return (end < 0 || end + 4 > region.end ? region.end : end + 4) - region.start;
}

/** The parts of a multipart, header and all. */
export function splitMultipart(text: string, region: Region, boundary: string): readonly Region[] {
  const regions: Region[] = [];
  let partStart: number | undefined;
  for (const delimiter of delimiters(text, region, boundary)) {
    // The CRLF before a delimiter belongs to it; a part may be empty.
    if (partStart !== undefined) regions.push({ start: partStart, end: Math.max(partStart, delimiter.start - 2), delimited: true });
    partStart = delimiter.end;
    if (delimiter.last) return regions;
  }
  // A missing last delimiter [R-car-06].
  if (partStart !== undefined) regions.push({ ...region, start: partStart });
  return regions;
}

interface Delimiter {
  readonly start: number;
  readonly end: number;
  readonly last: boolean;
}

function* delimiters(text: string, region: Region, boundary: string): Generator<Delimiter> {
  const mark = `--${boundary}`;
  for (let at = text.indexOf(mark, region.start); at >= 0 && at < region.end; at = text.indexOf(mark, at + 1)) {
    if (at !== region.start && text.slice(at - 2, at) !== "\r\n") continue;
    const [line, next] = lineAt(text, at, region.end);
    const rest = /^(--)?[ \t]*$/.exec(line.slice(mark.length));
    if (rest !== null && line.startsWith(mark)) yield { start: at, end: next, last: rest[1] !== undefined };
  }
}
