/** `nex node state`: the workloads that a node continues when it starts again. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import {
  defaultNodesDirectory,
  type RecordedWorkload,
  readState,
  type StateReport,
} from "@nexengine/node/internal";
import type { Command } from "commander";
import type { GlobalOptions } from "../global-options.ts";
import { note, print, printJson, printTable, visible } from "../output.ts";
import { isAlive } from "../processes.ts";

interface StateOptions extends GlobalOptions {
  stateDirectory?: string;
  json: boolean;
}

/** Adds the command. */
export function addNodeState(node: Command): void {
  node
    .command("state")
    .description("show the workloads that a node on this host continues when it starts again")
    .option("--state-directory <dir>", "the node's directory; all in ~/.nex/nodes otherwise")
    .option("--json", "print it as JSON", false)
    .action(async (_: unknown, self: Command) => {
      const options = self.optsWithGlobals<StateOptions>();
      const reports = await Promise.all((await stateDirectories(options)).map(readState));
      if (options.json) printJson(reports);
      else show(reports);
    });
}

/** Directories of the nodes of this user on this host. */
export async function stateDirectories({
  stateDirectory,
}: Pick<StateOptions, "stateDirectory">): Promise<string[]> {
  if (stateDirectory !== undefined) return [stateDirectory];
  const parent = defaultNodesDirectory();
  const names = await readdir(parent).catch(() => []);
  return names
    .filter((name) => /^\d{1,2}$/.test(name))
    .sort((one, other) => Number(one) - Number(other))
    .map((name) => join(parent, name));
}

function show(reports: readonly StateReport[]): void {
  if (reports.length === 0) note("No node of this user has a state directory here");
  for (const { directory, pid, workloads, unreadable } of reports) {
    const isRunning = pid !== undefined && isAlive(pid);
    print(`${directory}: ${isRunning ? `a node runs here (pid ${pid})` : "no node runs here"}`);
    if (workloads.length > 0) printWorkloads(workloads);
    else print("  no workloads are recorded");
    for (const { id, reason } of unreadable)
      note(`The record of ${visible(id)} is unreadable: ${visible(reason)}`);
  }
}

function printWorkloads(workloads: readonly RecordedWorkload[]): void {
  printTable({
    title: "Recorded workloads",
    columns: ["Name", "ID", "Type", "Namespace", "Accepted", "Restarts", "Machines"],
    rows: workloads.map(({ name, id, type, namespace, accepted, restarts, machines }) => [
      name,
      id,
      type,
      namespace,
      accepted.slice(0, 19).replace("T", " "),
      String(restarts),
      String(machines.length),
    ]),
    whenEmpty: "",
  });
}
