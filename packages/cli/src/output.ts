/** What commands print: results to the standard output, all else to the standard error. */
import { NexError, toNexError } from "@nexengine/protocol/internal";
import Table from "cli-table3";
import { colors as pc } from "./colors.ts";

/** A result. */
export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** A result for programs. */
export function printJson(value: unknown): void {
  print(JSON.stringify(value, null, process.stdout.isTTY ? 2 : 0));
}

/** Something that a person may want to know, and a script not. */
export function note(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** A table with a title, or a line when it has no rows. */
export function printTable(
  columns: readonly string[],
  rows: readonly (readonly string[])[],
  whenEmpty: string,
): void {
  if (rows.length === 0) {
    note(whenEmpty);
    return;
  }
  const table = new Table({
    head: columns.map((column) => pc.bold(column)),
    style: { head: [], border: [], compact: true },
    chars: { mid: "", "left-mid": "", "mid-mid": "", "right-mid": "" },
  });
  for (const row of rows) table.push([...row]);
  print(table.toString());
}

/** Prints what went wrong, with what to do next. @returns the exit status. */
export function reportError(thrown: unknown): number {
  const error = toNexError(thrown);
  note(`${pc.red("Error:")} ${error.message}`);
  if (error.advice !== undefined) note(`${pc.dim("Next:")}  ${error.advice}`);
  if (!(thrown instanceof NexError) && process.env["NEX_DEBUG"] && thrown instanceof Error)
    note(thrown.stack ?? "");
  return error.exit;
}

/** A node id, short enough for a table. */
export function shortId(id: string): string {
  return id.length <= 16 ? id : `${id.slice(0, 8)}…${id.slice(-4)}`;
}
