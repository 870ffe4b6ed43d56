/** `nex ps`: the workloads of the namespace, over all nodes. */
import type { EndedDetails, EventEntry, Feed, NexClient, WorkloadDetails } from "@nexengine/client";
import { NexError } from "@nexengine/protocol/errors";
import type { Command } from "commander";
import { ConnectionWatch, lost } from "../connection-watch.ts";
import type { GlobalOptions } from "../global-options.ts";
import { Bell, interruption } from "../interruption.ts";
import { withClient } from "../login.ts";
import { jsonText, print, printJson, printTable, type TableContent, tableText, visible } from "../output.ts";
import { formatTime } from "../time-format.ts";
import { reasonLines, stateOf } from "../workload-state.ts";

interface PsOptions extends GlobalOptions {
  all: boolean;
  full: boolean;
  watch: boolean;
  json: boolean;
}

/** Without an event this long, the list is asked for anew: times go on, and events can be lost. */
const refreshMs = 2_000;

/** Adds the command. */
export function addPs(program: Command): void {
  program
    .command("ps")
    .description("list the workloads of the namespace over all nodes")
    .option(
      "-a, --all",
      "also those that ended within the last hour, with exit status and reason, and last lines of a crash loop",
      false,
    )
    .option("-w, --watch", "go on, and show what changes", false)
    .option("--full", "with all columns", false)
    .option("--json", "print them as JSON; with --watch a line for each change", false)
    .action(async (_: unknown, self: Command) => {
      const options = self.optsWithGlobals<PsOptions>();
      await withClient(options, async (client) => {
        if (options.all) await showAll(client, options);
        else if (options.watch) await watch(client, options);
        else if (options.json) printJson(await list(client, options));
        else printList(await list(client, options), options);
      });
    });
}

/** The table, and below it what does not plainly run. */
function printList(workloads: readonly WorkloadDetails[], options: PsOptions): void {
  printTable(tableOf(workloads, options));
  for (const line of reasonLines(workloads, options.all)) print(line);
}

async function list(client: NexClient, options: PsOptions): Promise<WorkloadDetails[]> {
  const workloads = await client.workloadDetails(undefined, { timeoutMs: options.timeout });
  return workloads.sort((a, b) => a.workload.name.localeCompare(b.workload.name) || a.id.localeCompare(b.id));
}

/** @throws NexError `usage` with --watch */
async function showAll(client: NexClient, options: PsOptions): Promise<void> {
  if (options.watch)
    throw new NexError("usage", "Cannot watch ended workloads: use one of --all and --watch");
  const [workloads, ended] = await Promise.all([
    list(client, options),
    client.endedWorkloads({ timeoutMs: options.timeout }),
  ]);
  if (options.json) {
    printJson({ workloads, ended });
    return;
  }
  printList(workloads, options);
  if (ended.length > 0) printTable(endedTableOf(ended, options));
}

/** The reason stands last and is shortened first, so that the table fits. */
function endedTableOf(ended: readonly EndedDetails[], { full, timeformat }: PsOptions): TableContent {
  return {
    title: "Ended within the last hour",
    columns: full
      ? ["Name", "Id", "Type", "Ended", "Status", "Node", "Reason", "Last line"]
      : ["Name", "Id", "Ended", "Status", "Reason"],
    rows: ended.map(({ name, id, type, ended_ms, code, reason, nodeName, lines }) => {
      const when = formatTime(new Date(ended_ms), timeformat);
      return full
        ? [name, id, type, when, String(code), nodeName, reason, lines.at(-1)?.text ?? ""]
        : [name, id, when, String(code), reason];
    }),
    whenEmpty: "",
    yields: full ? [] : [4, 0],
  };
}

/** On a terminal the table stays in its place; elsewhere it is printed again when something has changed. */
async function watch(client: NexClient, options: PsOptions): Promise<void> {
  const signal = interruption();
  const bell = new Bell();
  signal.addEventListener("abort", () => bell.ring(), { once: true });
  const reading = ringOnChanges(client.events({ signal }), bell);
  const redraws = process.stdout.isTTY && !options.json;
  const connection = new ConnectionWatch(client, { changed: () => bell.ring(), isQuiet: redraws });
  let shown: string | undefined;
  while (!signal.aborted) {
    connection.demandOpen();
    if (!connection.isConnected) {
      if (redraws) redrawText(lost, options);
      await bell.wait(refreshMs);
      continue;
    }
    const workloads = await list(client, options);
    const state = keyOf(workloads);
    // A list that was asked for in the last moment of a connection is empty.
    if (!connection.isConnected) continue;
    if (redraws) redraw(workloads, options);
    else if (state !== shown) show(workloads, options);
    shown = state;
    await bell.wait(refreshMs);
  }
  await reading;
}

async function ringOnChanges(events: Feed<EventEntry>, bell: Bell): Promise<void> {
  for await (const { type } of events) {
    if (type !== "heartbeat" && !type.startsWith("function_")) bell.ring();
  }
}

/** The part of the list whose change is shown; times always change. */
function keyOf(workloads: readonly WorkloadDetails[]): string {
  return JSON.stringify(
    workloads.map((one) => [one.id, stateOf(one), one.healthy, one.nodeId, one.workload.name]),
  );
}

function show(workloads: WorkloadDetails[], options: PsOptions): void {
  if (options.json) print(jsonText(workloads));
  else printList(workloads, options);
}

function redraw(workloads: readonly WorkloadDetails[], options: PsOptions): void {
  const content = tableOf(workloads, options);
  const table = workloads.length === 0 ? visible(content.whenEmpty) : tableText(content);
  redrawText([table, ...reasonLines(workloads, false)].join("\n"), options);
}

function redrawText(text: string, options: PsOptions): void {
  const head = `${formatTime(new Date(), options.timeformat)}  Ctrl-C ends\n\n`;
  process.stdout.write(`\x1b[H\x1b[2J${head}${text}\n`);
}

/** The short table has at most 80 columns with names of usual length. */
function tableOf(workloads: readonly WorkloadDetails[], { namespace, full }: PsOptions): TableContent {
  return {
    title: "Workloads",
    columns: full
      ? ["Name", "Id", "Type", "State", "Uptime", "Run time", "Node", "Node id", "Description"]
      : ["Name", "Id", "Type", "State", "Node"],
    rows: workloads.map((one) => {
      const { id, uptime, workload, nodeName, nodeId } = one;
      const { name, type, runtime, description = "" } = workload;
      return full
        ? [name, id, type, stateOf(one), uptime, runtime, nodeName, nodeId, description]
        : [name, id, type, `${stateOf(one)} ${uptime}`, nodeName];
    }),
    whenEmpty: `No workloads run in namespace "${namespace}"`,
    yields: full ? [] : [0, 4],
  };
}
