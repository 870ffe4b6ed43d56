/** `nex lameduck`, also `nex node lameduck`: a node takes no more workloads. */
import type { Command } from "commander";
import type { GlobalOptions } from "../global-options.ts";
import { withClient } from "../login.ts";
import { nodeIdOf } from "../node-id.ts";
import { print, printJson } from "../output.ts";

type LameDuckOptions = GlobalOptions & { json: boolean };

/** Adds the command to the program, or to `node`. */
export function addLameDuck(parent: Command): void {
  parent
    .command("lameduck")
    .description("tell a node to take no more workloads; those that run go on, and nothing takes it back")
    .argument("<node>", "the node's id, its beginning, or its name")
    .option("--json", "print the answer as JSON", false)
    .action(async (idOrName: string, _: unknown, self: Command) => {
      const options = self.optsWithGlobals<LameDuckOptions>();
      await withClient(options, async (client) => {
        const action = "Cannot enter lame duck mode of node";
        const id = await nodeIdOf(client, idOrName, action, options.timeout);
        const answer = await client.lameDuck(id, options.timeout);
        if (options.json) printJson(answer);
        else print(`Command to enter lame duck mode issued to ${id}`);
      });
    });
}
