// The peer as the harness starts it.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import * as base64 from "../src/base64.js";
import { sealingPublicKeyOf, suite } from "../src/suites.js";
import { DAY, DOMAIN, inline, lines, NOW, policyText, seed } from "./world.js";

const PEER = fileURLToPath(new URL("../../peer", import.meta.url));

interface Result {
  readonly id: string;
  readonly result: string;
  readonly [member: string]: unknown;
}

function run(tasks: readonly object[], environment: Readonly<Record<string, string>> = {}): { status: number | null; results: readonly Result[] } {
  const directory = mkdtempSync(join(tmpdir(), "mta-seal-peer-"));
  try {
    const [from, to] = [join(directory, "tasks"), join(directory, "results")];
    writeFileSync(from, tasks.map((task, i) => `${JSON.stringify({ id: `${i}`, ...task })}\n`).join(""));
    writeFileSync(to, "");
    const { status } = spawnSync(PEER, [], { cwd: directory, env: { ...process.env, MTA_SEAL_TASKS: from, MTA_SEAL_RESULTS: to, ...environment } });
    const results = readFileSync(to, "utf8").split("\n").filter((line) => line !== "").map((line) => JSON.parse(line) as Result);
    return { status, results };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

describe("the peer", () => {
  it("answers done, refused and unsupported", () => {
    const { status, results } = run([
      { kind: "padding", input: { length: 5000 } },
      { kind: "identity", input: { domain: "localhost" } },
      { kind: "receipt", input: {} },
      { kind: "keys", input: { algorithm: "suite-9", private_key: base64.encode(seed("key")) } },
    ]);
    assert.equal(status, 0);
    assert.deepEqual(results.map(({ result, padded, failure }) => [result, padded ?? failure]), [
      ["done", 5120], ["refused", "none"], ["unsupported", undefined], ["unsupported", undefined],
    ]);
  });

  it("fails for a task that is none, and keeps what it has answered", () => {
    const { status, results } = run([{ kind: "padding", input: { length: 5000 } }, { kind: "padding", input: {} }]);
    assert.equal(status, 1);
    assert.equal(results.length, 1);
  });

  it("fails without its files", () => assert.equal(run([], { MTA_SEAL_TASKS: "/nonexistent" }).status, 1));

  it("unseals what it has sealed", async () => {
    const publicKey = await sealingPublicKeyOf(suite(1)!, seed("sealing"));
    const record = (domain: string, text: Uint8Array) => ({ name: `_mta-seal.${domain}`, text: base64.encode(text) });
    const records = [record(DOMAIN, policyText({ keys: inline(publicKey) })), record("a.example", policyText({ domain: "a.example" }))];
    const message = base64.encode(lines("From: u@a.example", "", "Hello."));
    const reverse_path = { mailbox: "u@a.example", body: 0, smtputf8: 0, ret: 0, envid: "" };
    const forward_paths = [{ mailbox: `v@${DOMAIN}`, notify: 0, orcpt: "" }];
    const sender = { domain: "a.example", signing_key: base64.encode(seed("signing")) };
    const sealing = { sender, recipient_domain: DOMAIN, records, now: NOW, reverse_path, forward_paths, message, block_size: null, randomness: null };
    const sealed = run([{ kind: "seal", input: sealing }]).results[0]!;
    assert.equal(sealed.result, "done");

    const own_keys = [{ domain: DOMAIN, sealing: [{ suite: 1, private_key: base64.encode(seed("sealing")) }], destroyed: [] }];
    const unsealing = { carrier: sealed.carrier, own_keys, records, now: NOW, window: DAY, recipients: [`v@${DOMAIN}`], claims: [] };
    const claim = { envelope_id: sealed.envelope_id, recipient: `v@${DOMAIN}` };
    const { status, results } = run([
      { kind: "unseal", input: unsealing },
      { kind: "unseal", input: { ...unsealing, claims: [claim] } },
      { kind: "unseal", input: { ...unsealing, now: NOW + DAY + 1 } },
    ]);
    assert.equal(status, 0);
    const [opened, again, late] = results;
    assert.deepEqual([opened?.result, opened?.message, opened?.envelope_id], ["done", message, sealed.envelope_id]);
    assert.deepEqual(opened?.forward_paths, forward_paths);
    assert.equal(again?.failure, "delivered-before");
    assert.equal(late?.failure, "too-old");
  });
});
