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

/** What a table looks like and holds. */
export interface TableContent {
  title: string;
  columns: readonly string[];
  rows: readonly (readonly string[])[];
  /** The line that stands for a table without rows. */
  whenEmpty: string;
}

/** A table with its title in the middle above it, or a line when it has no rows. */
export function printTable(content: TableContent): void {
  if (content.rows.length === 0) note(content.whenEmpty);
  else print(tableText(content));
}

/** The same as text. */
export function tableText({ title, columns, rows }: TableContent): string {
  const table = new Table({
    head: columns.map((column) => pc.bold(column)),
    style: { head: [], border: [], compact: true },
    chars: {
      ...{ "top-left": "╭", "top-right": "╮", "bottom-left": "╰", "bottom-right": "╯" },
      ...{ mid: "", "left-mid": "", "mid-mid": "", "right-mid": "" },
    },
  });
  for (const row of rows) table.push([...row]);
  const text = table.toString();
  const indent = Math.max(0, Math.floor((text.indexOf("\n") - title.length) / 2));
  return `${" ".repeat(indent)}${pc.bold(title)}\n${text}`;
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
