/** `nex lameduck`, also `nex node lameduck`: a node takes no more workloads, or for an operator ends. */
import type { LameDuckOptions } from "@nexengine/client";
import { signerOfSeed } from "@nexengine/protocol";
import { NexError } from "@nexengine/protocol/errors";
import { drainMsMax } from "@nexengine/protocol/tokens";
import type { Command } from "commander";
import type { GlobalOptions } from "../global-options.ts";
import { readKeyFile } from "../key-files.ts";
import { withClient } from "../login.ts";
import { nodeIdOf } from "../node-id.ts";
import { parseDuration } from "../option-values.ts";
import { print, printJson } from "../output.ts";

type CommandOptions = GlobalOptions & { json: boolean; drain: boolean; operator?: string; deadline?: number };

const deadlineMsDefault = 30_000;

/** Adds the command to the program, or to `node`. */
export function addLameDuck(parent: Command): void {
  parent
    .command("lameduck")
    .description("tell a node to take no more workloads; those that run go on, and nothing takes it back")
    .argument("<node>", "the node's id, its beginning, or its name")
    .option(
      "--drain",
      "empty the node and end it: functions finish their calls, then services are asked to stop; takes --operator",
      false,
    )
    .option("--operator <file>", "seed file of an operator's key, which drains the node")
    .option(
      "--deadline <duration>",
      "with --operator: what still runs then is stopped; 30s unless told otherwise",
      parseDuration,
    )
    .option("--json", "print the answer as JSON", false)
    .action(async (idOrName: string, _: unknown, self: Command) => {
      const options = self.optsWithGlobals<CommandOptions>();
      const operator = operatorOf(options);
      await withClient(options, async (client) => {
        const action = "Cannot enter lame duck mode of node";
        const id = await nodeIdOf(client, idOrName, action, options.timeout);
        const answer = await client.lameDuck(id, { timeoutMs: options.timeout, ...operator });
        if (options.json) printJson(answer);
        else print(`Command to enter lame duck mode issued to ${id}`);
        if (!options.json && operator !== undefined) {
          print(
            `   It ends when its functions are done and its services have stopped, at the latest in ${operator.operator.deadlineMs / 1_000}s`,
          );
        }
      });
    });
}

/** @throws NexError `usage`, `file_not_found`, `key_invalid` */
function operatorOf({
  operator: file,
  deadline,
  drain,
}: CommandOptions): Required<Pick<LameDuckOptions, "operator">> | undefined {
  if (file === undefined) {
    if (deadline === undefined && !drain) return undefined;
    const action = drain ? "drain a node" : "set a deadline";
    throw new NexError("usage", `Cannot ${action}: only an operator ends a node`, {
      advice: "Name the operator's key with: --operator FILE",
    });
  }
  if (deadline !== undefined && deadline > drainMsMax) {
    throw new NexError("usage", `Cannot set a deadline of ${deadline} ms: at most an hour is accepted`);
  }
  const key = signerOfSeed(readKeyFile(file, "the operator's key"), `the operator's key "${file}"`);
  return { operator: { key, deadlineMs: deadline ?? deadlineMsDefault } };
}
