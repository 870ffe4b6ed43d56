/** `nex node ls`: the nodes of the nexus. */
import type { NexClient } from "@nexengine/client";
import type { Command } from "commander";
import type { GlobalOptions } from "../global-options.ts";
import { withClient } from "../login.ts";
import { printJson, printTable, shortId } from "../output.ts";

interface ListOptions extends GlobalOptions {
  full: boolean;
  json: boolean;
}

type Node = Awaited<ReturnType<NexClient["nodes"]>>[number];

/** Adds the command. */
export function addNodeList(node: Command): void {
  node
    .command("ls")
    .description("list the nodes")
    .option("--full", "with all columns", false)
    .option("--json", "print them as JSON", false)
    .action(async (_: unknown, self: Command) => {
      const options = self.optsWithGlobals<ListOptions>();
      const nodes = await withClient(options, (client) => client.nodes({ timeoutMs: options.timeout }));
      nodes.sort(
        (a, b) =>
          (a.nexus ?? "").localeCompare(b.nexus ?? "") ||
          nameOf(a).localeCompare(nameOf(b)) ||
          a.node_id.localeCompare(b.node_id),
      );
      if (options.json) printJson(nodes);
      else printNodes(nodes, options.full);
    });
}

function printNodes(nodes: readonly Node[], full: boolean): void {
  const columns = ["ID (* = Lameduck Mode)", "Name", "Version", "Workloads"];
  printTable({
    title: "NATS Execution Nodes",
    columns: full ? [...columns, "Nexus", "Uptime", "Sandbox", "OS", "Arch"] : columns,
    rows: nodes.map((node) =>
      full ? [...mainCells(node, true), ...moreCells(node)] : mainCells(node, false),
    ),
    whenEmpty: "No nodes discovered",
  });
}

function mainCells(node: Node, full: boolean): string[] {
  const id = full ? node.node_id : shortId(node.node_id);
  const mark = node.tags?.["nex.lameduck"] === "true" ? " *" : "";
  return [`${id}${mark}`, nameOf(node), node.version, String(node.running_machines)];
}

function moreCells(node: Node): string[] {
  const tags = node.tags ?? {};
  const sandbox = tags["nex.sandbox"] ?? (tags["nex.unsafe"] === "true" ? "process" : "yes");
  return [node.nexus ?? "", node.uptime, sandbox, tags["nex.os"] ?? "", tags["nex.arch"] ?? ""];
}

function nameOf({ tags }: Node): string {
  return tags?.["node_name"] ?? "no-name";
}
