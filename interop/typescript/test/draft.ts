// The tables of the draft, as tests read them.
import { readFileSync } from "node:fs";

const DRAFT = readFileSync(new URL("../../../../spec/draft-mta-seal.md", import.meta.url), "utf8");

export interface Row {
  readonly name: string;
  readonly cells: Readonly<Record<string, string>>;
}

/** The table whose first line begins with these columns. */
export function table(firstColumn: string, secondColumn: string): readonly Row[] {
  const lines = DRAFT.split("\n");
  const start = lines.findIndex((line) => line.startsWith(`| ${firstColumn} | ${secondColumn}`));
  if (start < 0) throw new Error(`the draft has no table ${firstColumn}, ${secondColumn}`);
  const [, ...columns] = cellsOf(lines[start]!);
  const end = lines.findIndex((line, i) => i > start && !line.startsWith("|"));
  return lines.slice(start + 2, end).map((line) => {
    const [name, ...values] = cellsOf(line);
    if (values.length !== columns.length) throw new Error(`a row of another width: ${line}`);
    return { name: name!, cells: Object.fromEntries(columns.map((column, i) => [column, values[i]!])) };
  });
}

function cellsOf(line: string): readonly string[] {
  return line.split("|").slice(1, -1).map((cell) => cell.trim().replaceAll("`", ""));
}
