import { encodeExtensions, parseExtensions, refuseCritical, UnsupportedError, type Extension } from "./extensions.js";
import { isIdentity } from "./identity.js";
import { ascii, concat, FormError, fromUtf8, latin1, Reader, uint, utf8, vector, type Octets } from "./octets.js";

export interface ReversePath {
  /** Empty: the null reverse-path. */
  readonly mailbox: string;
  readonly body: number;
  readonly smtputf8: number;
  readonly ret: number;
  readonly envid: string;
}

export interface ForwardPath {
  readonly mailbox: string;
  readonly notify: number;
  readonly orcpt: string;
}

export const TYPE_MAIL = 1;
const TYPE_RECEIPT = 2;
const FLAG_FOREIGN = 0x0002;
const FORWARD_PATHS_LIMIT = 1000;
export const PREFIX_LIMIT = 2 ** 20;

/** What stands before the message in a content, and is signed with the opening signature. */
export interface Prefix {
  readonly type: number;
  readonly senderDomain: string;
  readonly signingKeyId: Octets;
  readonly sealedAt: bigint;
  readonly foreign: boolean;
  readonly deliveryId: Octets;
  readonly reversePath: ReversePath;
  readonly forwardPaths: readonly ForwardPath[];
  readonly extensions: readonly Extension[];
}

export function encodePrefix(prefix: Prefix): Octets {
  const { reversePath } = prefix;
  const encoded = concat(
    uint(prefix.type, 1),
    vector(ascii(prefix.senderDomain), 1, 253),
    prefix.signingKeyId,
    uint(prefix.sealedAt, 8),
    uint(prefix.foreign ? FLAG_FOREIGN : 0, 2),
    prefix.deliveryId,
    vector(utf8(reversePath.mailbox), 0, 512),
    uint(reversePath.body, 1),
    uint(reversePath.smtputf8, 1),
    uint(reversePath.ret, 1),
    vector(utf8(reversePath.envid), 0, 100),
    vector(concat(...prefix.forwardPaths.map(encodeForwardPath)), 0, 2 ** 20 - 1),
    encodeExtensions(prefix.extensions),
  );
  if (encoded.length > PREFIX_LIMIT || prefix.forwardPaths.length > FORWARD_PATHS_LIMIT) throw new FormError("the prefix is too long");
  return encoded;
}

function encodeForwardPath(path: ForwardPath): Octets {
  return concat(vector(utf8(path.mailbox), 1, 512), uint(path.notify, 1), vector(utf8(path.orcpt), 0, 500));
}

/** The form of [R-con-01]; the grammar of paths is judged later [R-con-02]. */
export function parsePrefix(octets: Octets): Prefix {
  const reader = new Reader(octets);
  const type = reader.uint(1);
  if (type !== TYPE_MAIL && type !== TYPE_RECEIPT) throw new UnsupportedError(`content of type ${type}`);
  const senderDomain = latin1(reader.vector(1, 253));
  if (!isIdentity(senderDomain)) throw new FormError("the sender domain is no identity");
  const signingKeyId = reader.take(32);
  const sealedAt = reader.uint64();
  const flags = reader.uint(2);
  const deliveryId = reader.take(16);
  const reversePath = {
    mailbox: text(reader.vector(0, 512)),
    body: listed(reader.uint(1), [0, 1, 2]),
    smtputf8: listed(reader.uint(1), [0, 1]),
    ret: listed(reader.uint(1), [0, 1, 2]),
    envid: text(reader.vector(0, 100)),
  };
  const forwardPaths = parseForwardPaths(reader.vector(0, 2 ** 20 - 1));
  const extensions = parseExtensions(reader.vector(0, 0xffff));
  if (!reader.done) throw new FormError("octets after the extensions");
  refuseCritical(extensions);
  return {
    type, senderDomain, signingKeyId, sealedAt, foreign: (flags & FLAG_FOREIGN) !== 0, deliveryId, reversePath, forwardPaths, extensions,
  };
}

function parseForwardPaths(octets: Octets): readonly ForwardPath[] {
  const reader = new Reader(octets);
  const paths: ForwardPath[] = [];
  while (!reader.done) {
    if (paths.length === FORWARD_PATHS_LIMIT) throw new FormError("too many forward-paths");
    paths.push({
      mailbox: text(reader.vector(1, 512)),
      notify: listed(reader.uint(1), [0, 1, 2, 4, 6, 8, 10, 12, 14]),
      orcpt: text(reader.vector(0, 500)),
    });
  }
  return paths;
}

function listed(value: number, values: readonly number[]): number {
  if (!values.includes(value)) throw new FormError(`${value} is not listed`);
  return value;
}

/** UTF-8 without control characters. */
function text(octets: Octets): string {
  const decoded = fromUtf8(octets);
  if (decoded === undefined || /[\x00-\x1f\x7f-\x9f]/.test(decoded)) throw new FormError("not UTF-8 without control characters");
  return decoded;
}
