/** `nex node probe`: where workloads are, asked of all nodes at once. */
import type { Command } from "commander";
import type { GlobalOptions } from "../global-options.ts";
import { withClient } from "../login.ts";
import { printJson, printTable } from "../output.ts";

interface ProbeOptions extends GlobalOptions {
  workload?: string;
  json: boolean;
}

/** Adds the command. */
export function addNodeProbe(node: Command): void {
  node
    .command("probe")
    .description("ask all nodes which of the namespace's workloads they run; those without one keep silent")
    .option("--workload <idOrName>", "only this id or name")
    .option("--json", "print them as JSON", false)
    .action(async (_: unknown, self: Command) => {
      const options = self.optsWithGlobals<ProbeOptions>();
      const places = await withClient(options, (client) =>
        client.workloads(options.workload, { timeoutMs: options.timeout }),
      );
      places.sort((a, b) => a.name.localeCompare(b.name) || a.id.localeCompare(b.id));
      if (options.json) {
        printJson(places);
        return;
      }
      printTable({
        title: "Discovered Workloads",
        columns: ["ID", "Name", "Type", "Namespace", "Node Name"],
        rows: places.map(({ id, name, type, namespace, nodeName }) => [id, name, type, namespace, nodeName]),
        whenEmpty: "No workloads matched",
      });
    });
}
