/** `nex node info`: one node, and the namespace's workloads on it. */
import type { NexClient } from "@nexengine/client";
import type { Command } from "commander";
import { colors as pc } from "../colors.ts";
import type { GlobalOptions } from "../global-options.ts";
import { withClient } from "../login.ts";
import { nodeIdOf } from "../node-id.ts";
import { print, printJson, printTable, visible } from "../output.ts";
import { reasonLines } from "../workload-state.ts";

interface InfoOptions extends GlobalOptions {
  full: boolean;
  json: boolean;
}

type Info = Awaited<ReturnType<NexClient["info"]>>;

/** Adds the command. */
export function addNodeInfo(node: Command): void {
  node
    .command("info")
    .description("show one node, and the namespace's workloads on it")
    .argument("<id>", "the node's id, its beginning, or its name")
    .option("--full", "with all that is known of the workloads", false)
    .option("--json", "print it as JSON", false)
    .action(async (idOrName: string, _: unknown, self: Command) => {
      const options = self.optsWithGlobals<InfoOptions>();
      await withClient(options, async (client) => {
        const id = await nodeIdOf(client, idOrName, "Cannot show node", options.timeout);
        const info = await client.info(id, options.timeout);
        if (options.json) printJson(info);
        else printInfo(id, info, options);
      });
    });
}

function printInfo(id: string, info: Info, options: InfoOptions): void {
  const tags = Object.entries(info.tags ?? {}).map(([name, value]) => `${name}=${value}`);
  const { total, free, available } = info.memory ?? {};
  const facts: [name: string, value: string][] = [
    ["Node", id],
    ["Xkey", info.public_xkey],
    ["Version", info.version],
    ["Uptime", info.uptime],
    ["Types", (info.supported_workload_types ?? []).join(", ")],
    ["Tags", tags.join(", ")],
    ...(info.memory === undefined
      ? []
      : [
          ["Memory", `${kb(total)} kB total, ${kb(free)} kB free, ${kb(available)} kB available`] as [
            string,
            string,
          ],
        ]),
  ];
  print(pc.bold("NEX Node Information"));
  for (const [name, value] of facts) print(`${name.padEnd(10)}${visible(value)}`);
  const columns = ["", "Id", "Name", "Type", "Uptime", "Run time", "Description"];
  printTable({
    title: "Workloads",
    columns: options.full ? [...columns, "Namespace", "SHA-256"] : columns,
    rows: info.machines.map(({ id: workloadId, healthy, uptime, namespace, workload }) => {
      const { name, type, runtime, description = "", hash } = workload;
      const cells = [healthy ? "🟢" : "🔴", workloadId, name, type, uptime, runtime, description];
      return options.full ? [...cells, namespace ?? "", hash] : cells;
    }),
    whenEmpty: `No workloads of namespace "${options.namespace}" run on it`,
  });
  for (const line of reasonLines(info.machines, true)) print(line);
}

function kb(kilobytes = 0): string {
  return kilobytes.toLocaleString("en");
}
