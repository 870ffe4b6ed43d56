/** `nex logs` and `nex events`: what workloads and nodes say, as it comes. */
import type { EventEntry, LogEntry } from "@nexengine/client";
import { baseLevel, NexError, systemNamespace } from "@nexengine/protocol/internal";
import type { Command } from "commander";
import { colors as pc } from "../colors.ts";
import { type GlobalOptions, withClient } from "../global-options.ts";
import { timestamp } from "../log-format.ts";
import { positive } from "../option-values.ts";
import { note, print } from "../output.ts";

interface WatchOptions extends GlobalOptions {
  json: boolean;
  count?: number;
}

interface LogsOptions extends WatchOptions {
  node?: string;
  workload_name?: string;
  workload_id?: string;
}

/** Adds both commands. */
export function addWatch(program: Command): void {
  program
    .command("logs")
    .description("show what the namespace's workloads write, as it comes")
    .argument("[workload]", "only this name or id")
    .option("--node <id>", "only of this node")
    .option("--workload_name <name>", "only of this name")
    .option("--workload_id <id>", "only of this id")
    .option("--count <n>", "end after so many lines", positive)
    .option("--json", "print each line as JSON", false)
    .action(async (workload: string | undefined, _: unknown, self: Command) => {
      await logs(workload, self.optsWithGlobals<LogsOptions>());
    });
  program
    .command("events")
    .description("show the events of the namespace and of the nodes, as they come")
    .option("--count <n>", "end after so many events", positive)
    .option("--json", "print each event as JSON", false)
    .action(async (_: unknown, self: Command) => {
      await events(self.optsWithGlobals<WatchOptions>());
    });
}

async function logs(workload: string | undefined, options: LogsOptions): Promise<void> {
  await withClient(options, async (client) => {
    const feed = client.logs({
      nodeId: options.node,
      workloadName: options.workload_name,
      workloadId: options.workload_id,
      signal: interruption(),
    });
    await client.flush();
    note(pc.dim(`Logs of namespace "${options.namespace}"; Ctrl-C ends`));
    let left = options.count ?? Number.POSITIVE_INFINITY;
    for await (const entry of feed) {
      if (workload !== undefined && entry.workloadName !== workload && entry.workloadId !== workload)
        continue;
      print(options.json ? JSON.stringify(entry) : logLine(entry));
      if (--left <= 0) break;
    }
  });
}

function logLine(entry: LogEntry): string {
  const level = baseLevel(entry.level);
  const paint = { DEBUG: pc.dim, INFO: pc.green, WARN: pc.yellow, ERROR: pc.red }[level];
  return `${pc.dim(timestamp(entry.receivedAt))} ${paint(level.padEnd(5))} ${pc.cyan(entry.workloadName)} ${entry.text.trimEnd()}`;
}

async function events(options: WatchOptions): Promise<void> {
  if (options.namespace === systemNamespace) {
    throw new NexError(
      "namespace_invalid",
      `Cannot watch namespace "${systemNamespace}" by name: its events always come along`,
    );
  }
  await withClient(options, async (client) => {
    const feed = client.events({ signal: interruption() });
    await client.flush();
    note(pc.dim(`Events of namespace "${options.namespace}" and of the nodes; Ctrl-C ends`));
    let left = options.count ?? Number.POSITIVE_INFINITY;
    for await (const entry of feed) {
      print(options.json ? JSON.stringify(entry.event) : eventLine(entry));
      if (--left <= 0) break;
    }
  });
}

function eventLine({ namespace, type, event }: EventEntry): string {
  const time = event.time === undefined ? new Date() : new Date(event.time);
  const data = Object.entries(event.data ?? {})
    .filter(([, value]) => typeof value !== "object")
    .map(([key, value]) => `${pc.dim(`${key}=`)}${String(value)}`);
  return [pc.dim(timestamp(time)), pc.cyan(namespace), pc.bold(type), ...data].join(" ");
}

/** Ctrl-C ends a watch as it should, with status 0. */
function interruption(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => controller.abort());
  return controller.signal;
}
