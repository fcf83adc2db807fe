// A peer of the interop harness: tasks in one file, results in another.
import { appendFileSync, createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { answer } from "./answer.js";
import { Json } from "./json.js";

async function run(tasks: string, results: string): Promise<void> {
  for await (const line of createInterface({ input: createReadStream(tasks), crlfDelay: Infinity })) {
    if (line === "") continue;
    const task = new Json(JSON.parse(line));
    const result = await answer(task);
    appendFileSync(results, `${JSON.stringify({ id: task.get("id").text, ...result })}\n`);
  }
}

const { MTA_SEAL_TASKS: tasks, MTA_SEAL_RESULTS: results } = process.env;
if (tasks === undefined || results === undefined) {
  console.error("MTA_SEAL_TASKS and MTA_SEAL_RESULTS must name files");
  process.exitCode = 1;
} else {
  run(tasks, results).catch((error: unknown) => {
    console.error(error);
    process.exitCode = 1;
  });
}
