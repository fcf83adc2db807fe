// One transaction of an unsealing gateway: the lines of a client in, replies out, and what the next hop gets. As much of SMTP
// as carriers need. Not here: ordinary mail, whose fate is the operator's to say [R-uns-07], and notices [R-uns-10].
import { Refusal } from "./failure.js";
import type { Octets } from "./octets.js";
import { isEnvid, isOrcpt, parseMailbox } from "./paths.js";
import { DELIVERED_BEFORE, REPLIES } from "./replies.js";
import type { Unsealed } from "./unseal.js";

/** What the next hop gets, but for the fields that the gateway prepends [R-uns-06]. */
export interface Delivery {
  readonly mailFrom: string;
  readonly rcptTo: readonly string[];
  readonly message: Octets;
}

const COMMAND = /^(MAIL FROM|RCPT TO):<((?:"(?:[^"\\]|\\.)*"|[^<>"])*)>((?: +[^ ]+)*) *$/iu;
const MALFORMED = "501 5.5.4 syntax error";
const UNKNOWN_PARAMETER = "555 5.5.4 parameter not recognised";
const OUT_OF_ORDER = "503 5.5.1 bad sequence of commands";
const NEEDS_SMTPUTF8 = "553 5.6.7 address needs SMTPUTF8";

type Grammar = Readonly<Record<string, (value: string) => boolean>>;

const MAIL_PARAMETERS: Grammar = {
  SIZE: (value) => /^[0-9]{1,20}$/.test(value),
  BODY: (value) => /^(?:7BIT|8BITMIME)$/i.test(value),
  SMTPUTF8: (value) => value === "",
  RET: (value) => /^(?:FULL|HDRS)$/i.test(value),
  ENVID: (value) => value !== "" && isEnvid(value),
};
const RCPT_PARAMETERS: Grammar = {
  NOTIFY: isNotify,
  ORCPT: (value) => value !== "" && isOrcpt(value),
};

function isNotify(value: string): boolean {
  const conditions = value.toUpperCase().split(",");
  if (conditions.length === 1 && conditions[0] === "NEVER") return true;
  return conditions.every((each, i) => ["SUCCESS", "FAILURE", "DELAY"].includes(each) && conditions.indexOf(each) === i);
}

export class Session {
  delivery: Delivery | undefined;
  /** The last one that has a row in the table of replies. */
  refusal: Refusal | undefined;
  #sender: { readonly smtputf8: boolean } | undefined;
  #recipients: string[] = [];

  constructor(
    readonly hostname: string,
    readonly isOwn: (domain: string) => boolean,
    readonly unseal: (carrier: Octets, recipients: readonly string[]) => Promise<Unsealed>,
  ) {}

  /** The reply to a line; DATA is followed by `message`. */
  command(line: string): string {
    switch (line.split(" ")[0]!.toUpperCase()) {
      case "EHLO":
      case "HELO":
        this.#reset();
        return `250 ${this.hostname}`;
      case "MAIL":
      case "RCPT":
        return this.#path(line);
      case "DATA":
        return this.#recipients.length > 0 ? "354 end with a dot" : OUT_OF_ORDER;
      default:
        return "500 5.5.2 command not recognised";
    }
  }

  /** The reply to the final dot. */
  async message(carrier: Octets): Promise<string> {
    const recipients = this.#recipients;
    this.#reset();
    try {
      const { prefix, forwardPaths, message } = await this.unseal(carrier, recipients);
      this.delivery = { mailFrom: prefix.reversePath.mailbox, rcptTo: forwardPaths.map((path) => deliveredTo(path.mailbox)), message };
      return "250 2.0.0 delivered";
    } catch (error) {
      if (!(error instanceof Refusal) || error.stage === "recognition") throw error;
      return this.#refuse(error);
    }
  }

  #reset(): void {
    this.#sender = undefined;
    this.#recipients = [];
  }

  #path(line: string): string {
    const match = COMMAND.exec(line);
    if (match === null) return MALFORMED;
    const isMail = match[1]!.toUpperCase() === "MAIL FROM";
    const path = match[2]!;
    const parameters = match[3]!.split(" ").filter((each) => each !== "");
    return misgiven(parameters, isMail ? MAIL_PARAMETERS : RCPT_PARAMETERS) ?? (isMail ? this.#mail(path, parameters) : this.#rcpt(path));
  }

  #mail(path: string, parameters: readonly string[]): string {
    if (this.#sender !== undefined) return OUT_OF_ORDER;
    if (path !== "" && parseMailbox(path) === undefined) return MALFORMED;
    const smtputf8 = parameters.some((each) => each.toUpperCase() === "SMTPUTF8");
    if (!smtputf8 && !isAscii(path)) return NEEDS_SMTPUTF8;
    this.#sender = { smtputf8 };
    return "250 2.1.0 sender accepted";
  }

  #rcpt(path: string): string {
    if (this.#sender === undefined) return OUT_OF_ORDER;
    if (path.toLowerCase() !== "postmaster") {
      const mailbox = parseMailbox(path);
      if (mailbox === undefined) return MALFORMED;
      if (!this.#sender.smtputf8 && !isAscii(path)) return NEEDS_SMTPUTF8;
      if (mailbox.identity === undefined || !this.isOwn(mailbox.identity))
        return this.#refuse(new Refusal("domain", "not-local", "the recipient is of no domain of this gateway"));
    }
    this.#recipients.push(path);
    return "250 2.1.5 recipient accepted";
  }

  #refuse(refusal: Refusal): string {
    this.refusal = refusal;
    if (refusal.failure === "delivered-before") return DELIVERED_BEFORE;
    const reply = REPLIES[refusal.failure];
    if (reply === undefined) throw new Error(`no reply to ${refusal.failure}`);
    return reply;
  }
}

/** The reply to a parameter that is unknown, stands twice, or is not of its grammar. */
function misgiven(parameters: readonly string[], grammar: Grammar): string | undefined {
  const keywords = parameters.map((each) => each.split("=", 1)[0]!.toUpperCase());
  for (const [i, keyword] of keywords.entries()) {
    if (!Object.hasOwn(grammar, keyword)) return UNKNOWN_PARAMETER;
    if (keywords.indexOf(keyword) !== i || !grammar[keyword]!(parameters[i]!.slice(keyword.length + 1))) return MALFORMED;
  }
  return undefined;
}

/** A recipient as the next hop gets it [R-uns-09]. */
function deliveredTo(mailbox: string): string {
  return mailbox.replace(/^mta-seal@/i, "postmaster@");
}

function isAscii(text: string): boolean {
  return /^[\x00-\x7f]*$/.test(text);
}
