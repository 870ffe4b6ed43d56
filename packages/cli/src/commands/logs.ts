/** `nex logs`: what workloads write, as it comes, and the latest lines that nodes have kept. */
import type { LogEntry, NexClient } from "@nexengine/client";
import { baseLevel, logLevels } from "@nexengine/protocol/messages";
import { type Command, Option } from "commander";
import { colors as pc } from "../colors.ts";
import { ConnectionWatch } from "../connection-watch.ts";
import type { GlobalOptions } from "../global-options.ts";
import { interruption } from "../interruption.ts";
import { withClient } from "../login.ts";
import { nodeIdOf } from "../node-id.ts";
import { positive } from "../option-values.ts";
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
  follow: boolean;
  json: boolean;
}

/** Adds the command. */
export function addLogs(program: Command): void {
  program
    .command("logs")
    .description("show what the namespace's workloads write, as it comes; with --tail the latest lines")
    .argument("[workload]", "only this name or id")
    .option("--node <id>", "only of this node: its id, its beginning, or its name")
    .option("--workload_name <name>", "only of this name")
    .option("--workload_id <id>", "only of this id")
    .addOption(
      new Option("--level <level>", "only of this level and above")
        .choices(logLevels.map((level) => level.toLowerCase()))
        .default("debug"),
    )
    .option("--since-start", "only of workloads that start from now on, so that each is shown whole", false)
    .option(
      "--tail <n>",
      "the latest lines that nodes have kept, also of workloads that ended; at most 200",
      positive,
    )
    .option("-f, --follow", "with --tail: go on with what comes", false)
    .option("--count <n>", "end after so many lines", positive)
    .option("--json", "print each line as JSON", false)
    .action(async (workload: string | undefined, _: unknown, self: Command) => {
      await logs(workload, self.optsWithGlobals<LogsOptions>());
    });
}

async function logs(workload: string | undefined, options: LogsOptions): Promise<void> {
  await withClient(options, async (client) => {
    if (options.tail !== undefined) {
      await showTail(client, options.tail, workload, options);
      if (!options.follow) return;
    }
    const node = unlessAll(options.node);
    const nodeId =
      node === undefined ? undefined : await nodeIdOf(client, node, "Cannot watch node", options.timeout);
    const feed = client.logs({
      nodeId,
      workloadName: unlessAll(options.workload_name),
      workloadId: unlessAll(options.workload_id),
      signal: interruption(),
    });
    await client.flush();
    const connection = new ConnectionWatch(client);
    const running = options.sinceStart ? await runningNow(client, options.timeout) : new Set<string>();
    note(pc.dim(`Logs of namespace "${options.namespace}"; Ctrl-C ends`));
    let left = options.count ?? Number.POSITIVE_INFINITY;
    for await (const entry of feed) {
      const { workloadName, workloadId } = entry;
      if (workload !== undefined && workloadName !== workload && workloadId !== workload) continue;
      if (running.has(workloadId) || rank(entry.level) < rank(options.level)) continue;
      print(options.json ? jsonText(entry) : logLine(entry, options));
      if (--left <= 0) break;
    }
    if (left > 0) connection.demandOpen();
    if (feed.dropped > 0) note(`${feed.dropped} lines were lost: they came faster than they were printed`);
  });
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
    if (rank(level) < rank(options.level)) continue;
    const receivedAt = new Date(time_ms);
    const entry = {
      namespace: options.namespace,
      nodeId,
      workloadName: name,
      workloadId: id,
      level,
      text,
      receivedAt,
    };
    print(options.json ? jsonText(entry) : logLine(entry, options));
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
