/** `nex ps`: the workloads of the namespace, over all nodes. */
import type { Command } from "commander";
import { type GlobalOptions, withClient } from "../global-options.ts";
import { printJson, printTable } from "../output.ts";

/** Adds the command. */
export function addPs(program: Command): void {
  program
    .command("ps")
    .description("list the workloads of the namespace over all nodes")
    .option("--json", "print them as JSON", false)
    .action(async (_: unknown, self: Command) => {
      const options = self.optsWithGlobals<GlobalOptions & { json: boolean }>();
      await withClient(options, async (client) => {
        const workloads = await client.workloadDetails(undefined, { timeoutMs: options.timeout });
        workloads.sort((a, b) => a.workload.name.localeCompare(b.workload.name) || a.id.localeCompare(b.id));
        if (options.json) {
          printJson(workloads);
          return;
        }
        printTable(
          ["Name", "Id", "Type", "State", "Uptime", "Run time", "Node"],
          workloads.map(({ id, healthy, uptime, workload, nodeName }) => [
            workload.name,
            id,
            workload.type,
            healthy ? "running" : "restarting",
            uptime,
            workload.runtime,
            nodeName,
          ]),
          `No workloads run in namespace "${options.namespace}"`,
        );
      });
    });
}
