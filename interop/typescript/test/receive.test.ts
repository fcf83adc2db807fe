// The dialog of an unsealing gateway; the vectors of kind `smtp` have whole ones.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Refusal, type Failure } from "../src/failure.js";
import { ascii } from "../src/octets.js";
import { Session } from "../src/receive.js";
import { REPLIES } from "../src/replies.js";
import type { Unsealed } from "../src/unseal.js";
import { table } from "./draft.js";

const BEGIN = ["EHLO c.example", "MAIL FROM:<u@a.example>"];
const NOTHING = ascii("");

function session(refused?: Refusal): { asked: (readonly string[])[]; session: Session; say: (...lines: readonly string[]) => readonly string[] } {
  const asked: (readonly string[])[] = [];
  const made = new Session("gw.b.example", (domain) => domain === "b.example", (_, recipients) => {
    asked.push(recipients);
    if (refused !== undefined) throw refused;
    const forwardPaths = recipients.map((mailbox) => ({ mailbox, notify: 0, orcpt: "" }));
    return Promise.resolve({ prefix: { reversePath: { mailbox: "u@a.example" } }, forwardPaths, message: NOTHING } as unknown as Unsealed);
  });
  return { asked, session: made, say: (...lines) => lines.map((line) => made.command(line).split(" ")[0]!) };
}

describe("[R-smtp-01] the dialog", () => {
  it("of a message", async () => {
    const { asked, session: made, say } = session();
    const lines = [...BEGIN, "rcpt to:<v@B.example> NOTIFY=DELAY,FAILURE ORCPT=rfc822;v", 'RCPT TO:<"a>b"@b.example>', "DATA"];
    assert.deepEqual(say(...lines), ["250", "250", "250", "250", "354"]);
    assert.match(await made.message(NOTHING), /^250 2\.0\.0/);
    assert.deepEqual(asked, [["v@B.example", '"a>b"@b.example']]);
    assert.deepEqual(say("DATA"), ["503"]);
  });

  it("in its order", () => {
    assert.deepEqual(session().say("DATA", "RCPT TO:<v@b.example>", ...BEGIN, BEGIN[1]!, "DATA"), ["503", "503", "250", "250", "503", "503"]);
  });

  it("of its syntax", () => {
    const { say } = session();
    for (const line of ["NONSENSE", "MAIL FROM: <u@a.example>", "MAIL FROM:u@a.example", "MAIL FROM:<u>", "MAIL FROM:<u@a.example> X=1"])
      assert.match(say(line)[0]!, /^50[01]|555$/, line);
    for (const parameter of ["BODY=BINARYMIME", "SMTPUTF8=1", "RET=x", "ENVID=a=b", "ENVID=", "SIZE=x", "SIZE=1 SIZE=1"])
      assert.deepEqual(say(`MAIL FROM:<u@a.example> ${parameter}`), ["501"], parameter);
    assert.deepEqual(say("MAIL FROM:<u@a.example> BODY=8BITMIME RET=FULL ENVID=x SIZE=1"), ["250"]);
    for (const parameter of ["NOTIFY=", "NOTIFY=NEVER,DELAY", "NOTIFY=DELAY,DELAY", "ORCPT=x", "ORCPT="])
      assert.deepEqual(say(`RCPT TO:<v@b.example> ${parameter}`), ["501"], parameter);
  });

  it("with SMTPUTF8 where an address needs it", () => {
    assert.deepEqual(session().say("MAIL FROM:<ü@a.example>", BEGIN[1]!, "RCPT TO:<ü@b.example>"), ["553", "250", "553"]);
    assert.deepEqual(session().say("MAIL FROM:<> SMTPUTF8", "RCPT TO:<ü@b.example>"), ["250", "250"]);
  });

  it("about recipients of others", () => {
    const { session: made, say } = session();
    say(...BEGIN);
    for (const path of ["v@x.b.example", "v@z.example", "v@[192.0.2.1]"]) assert.equal(made.command(`RCPT TO:<${path}>`), REPLIES["not-local"]);
    assert.equal(made.refusal?.stage, "domain");
    assert.deepEqual(say("RCPT TO:<Postmaster>"), ["250"]);
  });

  it("[R-uns-09] mta-seal@ is the postmaster", async () => {
    const { session: made, say } = session();
    say(...BEGIN, "RCPT TO:<MTA-Seal@b.example>");
    await made.message(NOTHING);
    assert.deepEqual(made.delivery?.rcptTo, ["postmaster@b.example"]);
  });

  it("about what is refused", async () => {
    const cases: readonly (readonly [Failure, string])[] = [
      ["not-signed-recipient", REPLIES["not-signed-recipient"]!],
      ["delivered-before", "250 2.0.0 delivered before"],
    ];
    for (const [failure, reply] of cases) {
      const { session: made, say } = session(new Refusal("recipients", failure, ""));
      say(...BEGIN, "RCPT TO:<v@b.example>");
      assert.equal(await made.message(NOTHING), reply);
      assert.equal(made.delivery, undefined);
      assert.equal(made.refusal?.failure, failure);
    }
  });

  it("answers as the table of the draft", () => {
    const rows = new Map(table("Failure", "Reply").map(({ name, cells }) => [name, `${cells["Reply"]} ${cells["Text"]}`]));
    for (const [failure, reply] of Object.entries(REPLIES)) assert.equal(reply, rows.get(failure), failure);
  });

  it("not about ordinary mail", async () => {
    const { session: made, say } = session(new Refusal("recognition", "none", ""));
    say(...BEGIN, "RCPT TO:<v@b.example>");
    await assert.rejects(made.message(NOTHING), Refusal);
  });
});
