/** How the state of a workload is shown: a word for tables, and lines that say why it does not plainly run. */
import type { WorkloadDetails } from "@nexengine/client";
import { visible } from "./output.ts";

type Described = Pick<WorkloadDetails, "healthy" | "nex" | "workload">;

/** Width of a text that goes nowhere in particular. */
const widthDefault = 80;
const indent = "    ";

/** One word or two: `running`, `crash loop`. */
export function stateOf({ healthy, nex }: Pick<Described, "healthy" | "nex">): string {
  if (nex?.crash_loop !== undefined) return "crash loop";
  if (nex?.state === "running" && nex.healthy === false) return "unhealthy";
  // Go nodes say no more.
  return nex?.state ?? (healthy ? "running" : "restarting");
}

/**
 * Lines for below a table: each workload that does not plainly run, with the reason.
 *
 * @param withOutput Whether the last log lines of workloads in a crash loop follow.
 * @param width Columns of the terminal. Reasons are wrapped to it, log lines are cut.
 */
export function reasonLines(
  workloads: readonly Described[],
  withOutput: boolean,
  width = process.stdout.columns || widthDefault,
): string[] {
  return workloads.flatMap(({ nex, workload: { name } }) => {
    const paused = (nex?.triggers ?? []).filter(({ state }) => state === "paused");
    const reasons = [
      ...(nex?.reason === undefined ? [] : [nex.reason]),
      ...paused.map((trigger) => `trigger ${trigger.name} is paused`),
    ];
    const output = withOutput ? (nex?.lines ?? []) : [];
    return [
      ...reasons.flatMap((reason) => wrapped(visible(`${name}: ${reason}`), width)),
      ...output.map(({ text }) => cut(`${indent}| ${visible(text)}`, width)),
    ];
  });
}

/** Splits a text between words; lines after the first are indented. */
function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line !== indent && line.length + 1 + word.length > width) {
      lines.push(line);
      line = indent;
    }
    line = line === "" || line === indent ? line + word : `${line} ${word}`;
  }
  return [...lines, line].map((one) => cut(one, width));
}

function cut(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, width - 1)}…`;
}
