/** `nex ps`: the workloads of the namespace, over all nodes. */
import type { EventEntry, Feed, NexClient, WorkloadDetails } from "@nexengine/client";
import type { Command } from "commander";
import type { GlobalOptions } from "../global-options.ts";
import { Bell, interruption } from "../interruption.ts";
import { withClient } from "../login.ts";
import { print, printJson, printTable, type TableContent, tableText } from "../output.ts";
import { formatTime } from "../time-format.ts";

interface PsOptions extends GlobalOptions {
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
    .option("-w, --watch", "go on, and show what changes", false)
    .option("--json", "print them as JSON; with --watch a line for each change", false)
    .action(async (_: unknown, self: Command) => {
      const options = self.optsWithGlobals<PsOptions>();
      await withClient(options, async (client) => {
        if (options.watch) await watch(client, options);
        else if (options.json) printJson(await list(client, options));
        else printTable(tableOf(await list(client, options), options.namespace));
      });
    });
}

async function list(client: NexClient, options: PsOptions): Promise<WorkloadDetails[]> {
  const workloads = await client.workloadDetails(undefined, { timeoutMs: options.timeout });
  return workloads.sort((a, b) => a.workload.name.localeCompare(b.workload.name) || a.id.localeCompare(b.id));
}

/** On a terminal the table stays in its place; elsewhere it is printed again when something has changed. */
async function watch(client: NexClient, options: PsOptions): Promise<void> {
  const signal = interruption();
  const bell = new Bell();
  signal.addEventListener("abort", () => bell.ring(), { once: true });
  const reading = ringOnChanges(client.events({ signal }), bell);
  const redraws = process.stdout.isTTY && !options.json;
  let shown: string | undefined;
  while (!signal.aborted) {
    const workloads = await list(client, options);
    const state = stateOf(workloads);
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

/** What of the list is a change; times always are another. */
function stateOf(workloads: readonly WorkloadDetails[]): string {
  return JSON.stringify(
    workloads.map(({ id, healthy, nodeId, workload }) => [id, healthy, nodeId, workload.name]),
  );
}

function show(workloads: WorkloadDetails[], options: PsOptions): void {
  if (options.json) print(JSON.stringify(workloads));
  else printTable(tableOf(workloads, options.namespace));
}

function redraw(workloads: readonly WorkloadDetails[], options: PsOptions): void {
  const content = tableOf(workloads, options.namespace);
  const head = `${formatTime(new Date(), options.timeformat)}  Ctrl-C ends\n\n`;
  process.stdout.write(
    `\x1b[H\x1b[2J${head}${workloads.length === 0 ? content.whenEmpty : tableText(content)}\n`,
  );
}

function tableOf(workloads: readonly WorkloadDetails[], namespace: string): TableContent {
  return {
    title: "Workloads",
    columns: ["Name", "Id", "Type", "State", "Uptime", "Run time", "Node"],
    rows: workloads.map(({ id, healthy, uptime, workload, nodeName }) => [
      workload.name,
      id,
      workload.type,
      healthy ? "running" : "restarting",
      uptime,
      workload.runtime,
      nodeName,
    ]),
    whenEmpty: `No workloads run in namespace "${namespace}"`,
  };
}
