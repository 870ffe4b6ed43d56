/** `nex logs`: what workloads write, as it comes, and what they have written. */
import type { HistoryFeed, LogEntry, LogSelection, NexClient } from "@nexengine/client";
import { NexError } from "@nexengine/protocol/errors";
import { baseLevel, logLevels } from "@nexengine/protocol/messages";
import { type Command, Option } from "commander";
import { colors as pc } from "../colors.ts";
import { ConnectionWatch } from "../connection-watch.ts";
import type { GlobalOptions } from "../global-options.ts";
import { interruption } from "../interruption.ts";
import { withClient } from "../login.ts";
import { nodeIdOf } from "../node-id.ts";
import { pastTime, positive } from "../option-values.ts";
import { jsonText, note, print, visible, visibleLines } from "../output.ts";
import { formatTime } from "../time-format.ts";

interface LogsOptions extends GlobalOptions {
  node?: string;
  workload_name?: string;
  workload_id?: string;
  level: string;
  sinceStart: boolean;
  count?: number;
  tail?: number;
  since?: Date;
  follow: boolean;
  json: boolean;
}

/** Adds the command. */
export function addLogs(program: Command): void {
  program
    .command("logs")
    .description(
      "show what the namespace's workloads write, as it comes; with --since or --tail what they have written",
    )
    .argument("[workload]", "only this name or id")
    .option("--node <id>", "only of this node: its id, its beginning, or its name")
    .option("--workload_name <name>", "only of this name")
    .option("--workload_id <id>", "only of this id")
    .addOption(
      new Option("--level <level>", "only of this level and above")
        .choices(logLevels.map((level) => level.toLowerCase()))
        .default("debug"),
    )
    .addOption(
      new Option("--since-start", "only of workloads that start from now on, so that each is shown whole")
        .default(false)
        .conflicts("since"),
    )
    .option(
      "--since <time>",
      "what the history has from a time on: how long ago (10m, 7d), or 2026-01-31T12:00:00Z",
      pastTime,
    )
    .option(
      "--tail <n>",
      "the latest lines, at most 10,000; without a history those that nodes have kept, at most 200",
      positive,
    )
    .option("-f, --follow", "with --since or --tail: go on with what comes", false)
    .option("--count <n>", "end after so many lines", positive)
    .option("--json", "print each line as JSON", false)
    .action(async (workload: string | undefined, _: unknown, self: Command) => {
      await logs(workload, self.optsWithGlobals<LogsOptions>());
    });
}

async function logs(workload: string | undefined, options: LogsOptions): Promise<void> {
  await withClient(options, async (client) => {
    const selection = await selectionOf(client, options);
    if (options.since !== undefined || options.tail !== undefined) {
      if (await showHistory(client, workload, selection, options)) return;
      await showTail(client, options.tail ?? 0, workload, options);
      if (!options.follow) return;
    }
    const feed = client.logs({ ...selection, signal: interruption() });
    await client.flush();
    const connection = new ConnectionWatch(client);
    const running = options.sinceStart ? await runningNow(client, options.timeout) : new Set<string>();
    noteStart(options);
    let left = options.count ?? Number.POSITIVE_INFINITY;
    for await (const entry of feed) {
      const { workloadName, workloadId } = entry;
      if (workload !== undefined && workloadName !== workload && workloadId !== workload) continue;
      if (running.has(workloadId) || !show(entry, options)) continue;
      if (--left <= 0) break;
    }
    if (left > 0) connection.demandOpen();
    if (feed.dropped > 0) note(`${feed.dropped} lines were lost: they came faster than they were printed`);
  });
}

async function selectionOf(client: NexClient, options: LogsOptions): Promise<LogSelection> {
  const node = unlessAll(options.node);
  return {
    nodeId:
      node === undefined ? undefined : await nodeIdOf(client, node, "Cannot watch node", options.timeout),
    workloadName: unlessAll(options.workload_name),
    workloadId: unlessAll(options.workload_id),
  };
}

/**
 * Shows lines of the history of the namespace.
 *
 * @returns false when there is none, and the nodes may still have the latest lines.
 * @throws NexError when lines from a time on are wanted, and can't be had
 */
async function showHistory(
  client: NexClient,
  workload: string | undefined,
  selection: LogSelection,
  options: LogsOptions,
): Promise<boolean> {
  const { since, tail, follow } = options;
  const signal = interruption();
  let feed: HistoryFeed<LogEntry>;
  try {
    feed = await client.logHistory({ ...selection, workload, since, tail, follow, signal });
  } catch (error) {
    if (since === undefined && error instanceof NexError) return false;
    throw error;
  }
  const connection = new ConnectionWatch(client, { isKept: true });
  if (follow) noteStart(options);
  let left = options.count ?? Number.POSITIVE_INFINITY;
  for await (const entry of feed) if (show(entry, options) && --left <= 0) break;
  if (left > 0) connection.demandOpen();
  return true;
}

function noteStart({ namespace }: LogsOptions): void {
  note(pc.dim(`Logs of namespace "${namespace}"; Ctrl-C ends`));
}

/** Prints a line of the wanted levels. @returns whether it is one. */
function show(entry: LogEntry, options: LogsOptions): boolean {
  if (rank(entry.level) < rank(options.level)) return false;
  print(options.json ? jsonText(entry) : logLine(entry, options));
  return true;
}

/** The latest lines; those of the node are not repeated by what comes after. */
async function showTail(
  client: NexClient,
  count: number,
  workload: string | undefined,
  options: LogsOptions,
): Promise<void> {
  const only = workload ?? unlessAll(options.workload_id) ?? unlessAll(options.workload_name);
  const lines = await client.recentLines({ count, workload: only }, { timeoutMs: options.timeout });
  for (const { time_ms, level, text, id, name, nodeId } of lines) {
    const receivedAt = new Date(time_ms);
    const { namespace } = options;
    show({ namespace, nodeId, workloadName: name, workloadId: id, level, text, receivedAt }, options);
  }
}

/** `*` is everything, as Go Nex has it. */
function unlessAll(filter: string | undefined): string | undefined {
  return filter === "*" ? undefined : filter;
}

async function runningNow(client: NexClient, timeoutMs: number): Promise<Set<string>> {
  const workloads = await client.workloadDetails(undefined, { timeoutMs });
  return new Set(workloads.map(({ id }) => id));
}

function rank(level: string): number {
  return logLevels.indexOf(baseLevel(level));
}

function logLine(entry: LogEntry, options: LogsOptions): string {
  const level = baseLevel(entry.level);
  const paint = { DEBUG: pc.dim, INFO: pc.green, WARN: pc.yellow, ERROR: pc.red }[level];
  const time = pc.dim(formatTime(entry.receivedAt, options.timeformat));
  return `${time} ${paint(level.padEnd(5))} ${pc.cyan(visible(entry.workloadName))} ${visibleLines(entry.text)}`;
}
