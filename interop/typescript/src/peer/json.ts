// Members of tasks. What is not of the contract is the harness's mistake, and throws.
import * as base64 from "../base64.js";
import type { Octets } from "../octets.js";

export class Json {
  constructor(
    readonly value: unknown,
    readonly path = "task",
  ) {}

  get(name: string): Json {
    const value = typeof this.value === "object" && this.value !== null ? (this.value as Record<string, unknown>)[name] : undefined;
    return new Json(value, `${this.path}.${name}`);
  }

  get isNull(): boolean {
    return this.value === null || this.value === undefined;
  }

  get text(): string {
    if (typeof this.value !== "string") throw this.wrong("a string");
    return this.value;
  }

  get number(): number {
    if (typeof this.value !== "number") throw this.wrong("a number");
    return this.value;
  }

  get flag(): boolean {
    if (typeof this.value !== "boolean") throw this.wrong("true or false");
    return this.value;
  }

  get octets(): Octets {
    const octets = base64.decode(this.text);
    if (octets === undefined) throw this.wrong("base64");
    return octets;
  }

  get list(): readonly Json[] {
    if (!Array.isArray(this.value)) throw this.wrong("a list");
    return this.value.map((each: unknown, i) => new Json(each, `${this.path}[${i}]`));
  }

  oneOf<T extends string>(...values: readonly T[]): T {
    const value = values.find((each) => each === this.value);
    if (value === undefined) throw this.wrong(values.join(", "));
    return value;
  }

  private wrong(expected: string): Error {
    return new Error(`${this.path} is not ${expected}`);
  }
}
