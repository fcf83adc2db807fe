// Header blocks of messages and of MIME parts. Texts have one character for each octet.

export interface Field {
  /** Lower case. */
  readonly name: string;
  /** Unfolded. */
  readonly body: string;
}

export interface HeaderBlock {
  readonly fields: readonly Field[];
  /** Where what follows begins: after the empty line, if there is one. */
  readonly end: number;
  readonly endedByEmptyLine: boolean;
}

/** Octets of the header block of any message [R-car-09]. */
export const HEADER_LIMIT = 262144;
const RECEIVED_LIMIT = 50;

const FIELD = /^([!-9;-~]+)[ \t]*:(.*)$/s;

/** Reads fields from `start` up to an empty line, a line that is no field, or `limit`. */
export function parseHeaderBlock(text: string, start: number, limit: number): HeaderBlock {
  const fields: Field[] = [];
  let at = start;
  while (at < limit) {
    const [line, next] = lineAt(text, at, limit);
    if (line === "") return { fields, end: next, endedByEmptyLine: next > at };
    const match = FIELD.exec(line);
    const last = fields[fields.length - 1];
    if (/^[ \t]/.test(line) && last !== undefined) {
      fields[fields.length - 1] = { name: last.name, body: last.body + line };
    } else if (match !== null) {
      fields.push({ name: match[1]!.toLowerCase(), body: match[2]! });
    } else {
      break;
    }
    at = next;
  }
  return { fields, end: at, endedByEmptyLine: false };
}

/** The line at an offset, without its CRLF, and where the next begins. */
export function lineAt(text: string, at: number, limit: number): readonly [string, number] {
  const end = text.indexOf("\r\n", at);
  if (end < 0 || end + 2 > limit) return [text.slice(at, limit), limit];
  return [text.slice(at, end), end + 2];
}

export function bodies(block: HeaderBlock, name: string): readonly string[] {
  return block.fields.filter((field) => field.name === name).map((field) => field.body);
}

/** Whether the message has passed more hosts than any should [R-seal-08]. */
export function loops(block: HeaderBlock): boolean {
  return bodies(block, "received").length > RECEIVED_LIMIT;
}
