import { randomBytes } from "node:crypto";
import { encodeLines } from "./base64.js";
import { ascii, concat, type Octets } from "./octets.js";

const EXPLANATION = [
  "This message is sealed for the organisation of its recipient. The mail server",
  "there opens it; if you read this text, it did not, and your postmaster should",
  "look into it.",
];

/** The message that transports one envelope [R-car-01]. Nothing of what is inside appears in its header [R-car-02]. */
export function encodeCarrier(envelope: Octets, senderDomain: string, recipientDomain: string, now: number): Octets {
  const token = randomBytes(16).toString("hex");
  const lines = [
    `Date: ${dateTime(now)}`,
    `From: mta-seal@${senderDomain}`,
    `To: mta-seal@${recipientDomain}`,
    "Subject: Sealed message",
    `Message-ID: <${token}@${senderDomain}>`,
    `MTA-Seal-Token: ${token}`,
    "MIME-Version: 1.0",
    "Content-Type: multipart/mixed;",
    ` boundary="mta-seal-${token}"`,
    "",
    `--mta-seal-${token}`,
    "Content-Type: text/plain; charset=us-ascii",
    "",
    ...EXPLANATION,
    `--mta-seal-${token}`,
    'Content-Type: application/mta-seal; name="message.mtaseal"',
    "Content-Transfer-Encoding: base64",
    'Content-Disposition: attachment; filename="message.mtaseal"',
    "",
    "",
  ];
  return concat(ascii(lines.join("\r\n")), encodeLines(envelope), ascii(`--mta-seal-${token}--\r\n`));
}

/** Always of the same length, for the length of a carrier must be known before sealing [R-car-03]. */
function dateTime(now: number): string {
  return new Date(now * 1000).toUTCString().replace("GMT", "+0000");
}
