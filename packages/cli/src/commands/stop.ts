/** `nex stop`: by name or id, or as Go Nex has it: node and id. */
import type { NexClient, WorkloadDetails } from "@nexengine/client";
import { NexError } from "@nexengine/protocol/errors";
import type { Command } from "commander";
import type { GlobalOptions } from "../global-options.ts";
import { hint } from "../hints.ts";
import { issuerKey } from "../key-files.ts";
import { withClient } from "../login.ts";
import { note, print, printJson, visible } from "../output.ts";
import { forget, forgottenLine } from "./trigger.ts";

interface StopOptions extends GlobalOptions {
  issuer?: string;
  name?: string;
  all: boolean;
  forget: boolean;
  json: boolean;
}

/** Adds the command. */
export function addStop(program: Command): void {
  program
    .command("stop")
    .description("stop a workload that your key started")
    .argument("<workload>", "its name or id; or the id of its node, and then its own")
    .argument("[id]", "the workload's id, when its node was named")
    .option("--issuer <file>", "seed file of the key that started it; your own otherwise")
    .option("--name <name>", "name of the workload; found out otherwise")
    .option("--all", "stop every copy of that name", false)
    .option(
      "--forget",
      "also forget where its triggers were in their streams, so that the next deploy begins anew",
      false,
    )
    .option("--json", "print the result as JSON", false)
    .action(async (first: string, second: string | undefined, _: unknown, self: Command) => {
      await stop(
        second ?? first,
        second === undefined ? undefined : first,
        self.optsWithGlobals<StopOptions>(),
      );
    });
}

async function stop(idOrName: string, nodeId: string | undefined, options: StopOptions): Promise<void> {
  const issuer = issuerKey(options.issuer);
  await withClient(options, async (client) => {
    const found = await client.workloadDetails(idOrName, { timeoutMs: options.timeout });
    const wanted = nodeId === undefined ? found : found.filter((workload) => workload.nodeId === nodeId);
    for (const { id: workloadId, nodeId: node, workload } of chosen(wanted, idOrName, options)) {
      const stopped = await client.stop({
        nodeId: node,
        workloadId,
        name: options.name ?? workload.name,
        issuer,
      });
      if (options.json) printJson(stopped);
      else print(`✅ "${visible(stopped.name)}" (${visible(workloadId)}) stopped`);
    }
    if (options.forget)
      await forgetAll(client, new Set(wanted.map(({ workload }) => workload.name)), options);
  });
}

/** Copies that still run need their places in the streams. */
async function forgetAll(client: NexClient, names: ReadonlySet<string>, options: StopOptions): Promise<void> {
  for (const name of names) {
    const running = await client.workloadDetails(name, { timeoutMs: options.timeout });
    if (running.length > 0) {
      note(visible(`Nothing is forgotten: ${running.length} more copies of "${name}" run`));
      continue;
    }
    const left = await forget(client, name, undefined);
    for (const one of options.json ? [] : left) print(forgottenLine(one));
  }
}

function chosen(
  found: readonly WorkloadDetails[],
  idOrName: string,
  options: StopOptions,
): readonly WorkloadDetails[] {
  if (found.length === 0) {
    throw new NexError(
      "no_such_workload",
      `Cannot stop "${idOrName}": no workload of this name or id runs in namespace "${options.namespace}"`,
      {
        advice: `See what runs with: ${hint(options, "ps")}`,
      },
    );
  }
  if (found.length === 1 || options.all) return found;
  throw new NexError(
    "ambiguous_name",
    `Cannot stop "${idOrName}": ${found.length} workloads have this name`,
    {
      advice: `Name one by its id (${found.map(({ id }) => id).join(", ")}), or stop them all with: --all`,
    },
  );
}
