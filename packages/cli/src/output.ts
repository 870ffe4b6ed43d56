/** Output of commands: results go to the standard output, all else to the standard error. */
import { NexError, toNexError } from "@nexengine/protocol/errors";
import Table from "cli-table3";
import { colors as pc } from "./colors.ts";

/** Control characters, line separators, and marks that change the direction of text. */
const unprintable = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;
/** Characters that `JSON.stringify` leaves as they are, although a terminal may act on them. */
const unescapedInJson = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;
/** The narrowest cell that `fit` makes. */
const cellWidthMin = 8;

/**
 * Text from elsewhere, safe for a terminal: `\x1b` for an escape character, and so on. Tabs stay.
 *
 * Everything that a workload, a node, a server or a file may have chosen goes through this before it is coloured.
 */
export function visible(text: string): string {
  return text.replace(unprintable, (character) => {
    if (character === "\t") return character;
    if (character === "\n") return "\\n";
    if (character === "\r") return "\\r";
    const code = character.charCodeAt(0);
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16)}`;
  });
}

/** The same for a text of several lines: those after the first are indented, so that none can pass for another entry. */
export function visibleLines(text: string): string {
  return text.trimEnd().split(/\r?\n/).map(visible).join("\n    ");
}

/** JSON that holds no character on which a terminal acts. */
export function jsonText(value: unknown, indent = 0): string {
  return JSON.stringify(value, null, indent).replace(
    unescapedInJson,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** A result. */
export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** A result for programs. */
export function printJson(value: unknown): void {
  print(jsonText(value, process.stdout.isTTY ? 2 : 0));
}

/** Something that a person may want to know, and a script not. */
export function note(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** The content of a table, and its layout. */
export interface TableContent {
  title: string;
  columns: readonly string[];
  rows: readonly (readonly string[])[];
  /** The line that stands for a table without rows. */
  whenEmpty: string;
  /** Columns, by their place, that give way on a terminal that is too narrow. */
  yields?: readonly number[];
}

/** A table with its title in the middle above it, or a line when it has no rows. */
export function printTable(content: TableContent): void {
  if (content.rows.length === 0) note(visible(content.whenEmpty));
  else print(tableText(content));
}

/**
 * The same as text. On a terminal it is made to fit: cells of the columns that yield are shortened.
 *
 * @param width Columns of the terminal; without one, nothing is shortened.
 */
export function tableText(
  { title, columns, rows, yields = [] }: TableContent,
  width: number | undefined = process.stdout.columns || undefined,
): string {
  const cells = fit([columns, ...rows.map((row) => row.map(visible))], yields, width);
  const [head = [], ...body] = cells;
  const table = new Table({
    head: head.map((column) => pc.bold(column)),
    style: { head: [], border: [], compact: true },
    chars: {
      ...{ "top-left": "╭", "top-right": "╮", "bottom-left": "╰", "bottom-right": "╯" },
      ...{ mid: "", "left-mid": "", "mid-mid": "", "right-mid": "" },
    },
  });
  for (const row of body) table.push(row);
  const text = table.toString();
  const indent = Math.max(0, Math.floor((text.indexOf("\n") - title.length) / 2));
  return `${" ".repeat(indent)}${pc.bold(title)}\n${text}`;
}

/** Shortens cells of the columns that yield, the widest first, until a row has no more than the width. */
function fit(
  rows: readonly (readonly string[])[],
  yields: readonly number[],
  width: number | undefined,
): string[][] {
  const widths = (rows[0] ?? []).map((_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0)));
  if (width !== undefined) {
    // Each cell has a space on both sides and a border.
    let excess = widths.reduce((sum, cell) => sum + cell + 3, 1) - width;
    while (excess > 0) {
      const widest = yields.reduce(
        (best, at) => ((widths[at] ?? 0) > (widths[best] ?? 0) ? at : best),
        yields[0] ?? -1,
      );
      const cell = widths[widest] ?? 0;
      if (cell <= cellWidthMin) break;
      widths[widest] = cell - 1;
      excess--;
    }
  }
  return rows.map((row) =>
    row.map((cell, at) =>
      cell.length <= (widths[at] ?? 0) ? cell : `${cell.slice(0, (widths[at] ?? 1) - 1)}…`,
    ),
  );
}

/** Prints what went wrong, with what to do next. @returns the exit status. */
export function reportError(thrown: unknown): number {
  const error = toNexError(thrown);
  note(`${pc.red("Error:")} ${visible(error.message)}`);
  if (error.advice !== undefined) note(`${pc.dim("Next:")}  ${visible(error.advice)}`);
  if (!(thrown instanceof NexError) && process.env["NEX_DEBUG"] && thrown instanceof Error)
    note(visibleLines(thrown.stack ?? ""));
  return error.exit;
}

/** A node id, short enough for a table. */
export function shortId(id: string): string {
  return id.length <= 16 ? id : `${id.slice(0, 8)}…${id.slice(-4)}`;
}
