// The test vectors, as the peer answers them.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { answer } from "../src/peer/answer.js";
import { Json } from "../src/peer/json.js";

interface Vector {
  readonly name: string;
  readonly kind: string;
  readonly input: object;
  readonly expected: Readonly<Record<string, unknown>>;
}

/** Of a reply only the beginning counts: those that begin as is expected are replaced by that. */
function beginnings(replies: unknown, expected: unknown): { readonly replies?: readonly unknown[] } {
  if (!Array.isArray(replies) || !Array.isArray(expected)) return {};
  return { replies: replies.map((reply: unknown, i) => (String(reply).startsWith(String(expected[i])) ? expected[i] : reply) as unknown) };
}

const FOLDER = fileURLToPath(new URL("../../../../test-vectors/", import.meta.url));
const files = readdirSync(FOLDER).filter((file) => file.endsWith(".json"));

describe("the test vectors", () => {
  for (const file of files) {
    const { vectors } = JSON.parse(readFileSync(FOLDER + file, "ascii")) as { readonly vectors: readonly Vector[] };
    it(`of ${file}`, async () => {
      assert.ok(vectors.length > 0);
      for (const { name, kind, input, expected } of vectors) {
        const answered = await answer(new Json({ kind, input }));
        // More members than those that are expected may be there.
        const asked = Object.fromEntries(Object.keys(expected).map((member) => [member, answered[member]]));
        assert.deepEqual({ ...asked, ...beginnings(asked["replies"], expected["replies"]) }, expected, name);
      }
    });
  }
});
