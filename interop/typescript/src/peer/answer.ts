import { Refusal } from "../failure.js";
import type { Json } from "./json.js";
import { KINDS, Unsupported, type Answer } from "./kinds.js";

/** The answer to a task, of whatever kind. */
export async function answer(task: Json): Promise<Answer> {
  const kind = KINDS[task.get("kind").text];
  if (kind === undefined) return { result: "unsupported" };
  try {
    return { result: "done", ...(await kind(task.get("input"))) };
  } catch (error) {
    if (error instanceof Refusal) return { result: "refused", stage: error.stage, failure: error.failure, detail: error.message };
    if (error instanceof Unsupported) return { result: "unsupported", detail: error.message };
    throw error;
  }
}
