/** `nex dead`: messages that no call of a function has settled. */
import type { DeadLetter, DeadLetterBox } from "@nexengine/client";
import { NexError } from "@nexengine/protocol/errors";
import type { Command } from "commander";
import type { GlobalOptions } from "../global-options.ts";
import { withClient } from "../login.ts";
import { positive } from "../option-values.ts";
import { note, print, printJson, printTable, visible, visibleLines } from "../output.ts";
import { formatTime } from "../time-format.ts";

interface DeadOptions extends GlobalOptions {
  json: boolean;
  limit: number;
  all: boolean;
  workload?: string;
}

const listedDefault = 50;
const shownBytesMax = 4_096;

/** Adds the command with its own. */
export function addDead(program: Command): void {
  const dead = program
    .command("dead")
    .description("dead letters of the namespace: messages that a function has failed for good");
  const add = (name: string, description: string): Command =>
    dead.command(name).description(description).option("--json", "print the result as JSON", false);
  add("ls", "list them, the oldest first")
    .argument("[workload]", "name of a function")
    .option("--limit <n>", "at most so many", positive, listedDefault)
    .action((workload: string | undefined, _: unknown, self: Command) =>
      list(workload, self.optsWithGlobals<DeadOptions>()),
    );
  add("show", "show one with its payload, headers and reason")
    .argument("<number>", "its number in the list", positive)
    .action((id: number, _: unknown, self: Command) => show(id, self.optsWithGlobals<DeadOptions>()));
  for (const action of ["retry", "drop"] as const) {
    const description =
      action === "retry"
        ? "give some to their function again; each is removed once a call has returned"
        : "remove some for good";
    add(action, description)
      .argument("[numbers...]", "numbers in the list")
      .option("--all", "all of them, or of one function", false)
      .option("--workload <name>", "with --all: those of this function")
      .action((ids: string[], _: unknown, self: Command) =>
        forEach(action, ids, self.optsWithGlobals<DeadOptions>()),
      );
  }
}

async function list(workload: string | undefined, options: DeadOptions): Promise<void> {
  await withClient(options, async ({ deadLetters }) => {
    const letters = await deadLetters.list({ workload, countMax: options.limit + 1 });
    const shown = letters.slice(0, options.limit);
    if (options.json) {
      printJson(shown.map(asJson));
      return;
    }
    printTable({
      title: "Dead letters",
      columns: ["Number", "Workload", "Trigger", "Subject", "Died", "Tries", "Reason"],
      rows: shown.map(({ id, workload: name, trigger, subject, diedAt, deliveries, reason }) => [
        String(id),
        name,
        trigger,
        subject,
        formatTime(diedAt, options.timeformat),
        String(deliveries),
        reason,
      ]),
      whenEmpty: `Namespace "${options.namespace}" has no dead letters`,
      yields: [6, 3],
    });
    if (letters.length > shown.length) note(`There are more; show them with: --limit N`);
  });
}

function asJson({ payload, ...letter }: DeadLetter): object {
  return { ...letter, payload: Buffer.from(payload).toString("base64") };
}

async function show(id: number, options: DeadOptions): Promise<void> {
  await withClient(options, async ({ deadLetters }) => {
    const letter = await deadLetters.get(id);
    if (options.json) {
      printJson(asJson(letter));
      return;
    }
    const { workload, trigger, subject, stream, sequence, deliveries, time, diedAt, reason } = letter;
    const facts: [string, string][] = [
      ["Function", `${workload}, trigger ${trigger}`],
      ["Subject", subject],
      ["Stream", `${stream}, message ${sequence}, of ${formatTime(time, options.timeformat)}`],
      ["Died", `${formatTime(diedAt, options.timeformat)} after ${deliveries} deliveries`],
      ["Reason", reason],
      ...Object.entries(letter.headers),
    ];
    for (const [name, value] of facts) print(visible(`${`${name}:`.padEnd(10)} ${value}`));
    const payload = Buffer.from(letter.payload);
    print("");
    print(visibleLines(payload.subarray(0, shownBytesMax).toString()));
    if (payload.length > shownBytesMax) note(`… ${payload.length} bytes in all; see them with: --json`);
  });
}

async function forEach(action: "retry" | "drop", given: string[], options: DeadOptions): Promise<void> {
  const named = given.map(positive);
  if (options.all === named.length > 0) {
    throw new NexError("usage", `Cannot ${action} dead letters: give their numbers, or --all`);
  }
  await withClient(options, async ({ deadLetters }) => {
    const ids = options.all ? await allIds(deadLetters, options.workload) : named;
    const results: { id: number; done: boolean; error?: string }[] = [];
    for (const id of ids) {
      try {
        if (action === "retry") await deadLetters.retry(id);
        else await deadLetters.drop(id);
        results.push({ id, done: true });
        if (!options.json) print(`✅ dead letter ${id} ${action === "retry" ? "was handled" : "is gone"}`);
      } catch (error) {
        const text = error instanceof Error ? error.message : String(error);
        results.push({ id, done: false, error: text });
        if (!options.json) print(visible(`❌ dead letter ${id}: ${text}`));
      }
    }
    if (options.json) printJson(results);
    else if (ids.length === 0) print(`Namespace "${options.namespace}" has no dead letters`);
    const failed = results.filter(({ done }) => !done).length;
    if (failed > 0) {
      throw new NexError("function_threw", `${failed} of ${ids.length} dead letters are left`, {
        advice: "They stay where they are; see the reasons above",
      });
    }
  });
}

async function allIds(letters: DeadLetterBox, workload: string | undefined): Promise<number[]> {
  const all = await letters.list({ workload, countMax: 1_000 });
  return all.map(({ id }) => id);
}
