/** `nex move`: a workload goes to another node. Its old node gets nothing but a stop. */
import type { NexClient, WorkloadDetails } from "@nexengine/client";
import { errorText, NexError } from "@nexengine/protocol/errors";
import type { Signer } from "@nexengine/protocol/tokens";
import type { Command } from "commander";
import { withClient } from "../login.ts";
import { nodeIdOf } from "../node-id.ts";
import { note, visible } from "../output.ts";
import { addSignedOptions, requestOf, type SignedOptions } from "./run.ts";
import { deployOptionsOf, reportDeployment, splitArguments } from "./workload-options.ts";

/** Adds the command. */
export function addMove(program: Command): void {
  const command = program
    .command("move")
    .description(
      "move a workload to another node: it is deployed there, and stopped where it was once it is ready; its key, its environment and its options are given again, since they are sealed for one node",
    )
    .argument("<workload>", "the workload's name or id")
    .argument("<node>", "the new node's id, its beginning, or its name")
    .argument("<artifact>", "nats://BUCKET/KEY, or a file to upload")
    .argument("[variables...]", "environment as KEY=VALUE, then -- and arguments of a service");
  addSignedOptions(command).action(
    async (workload: string, node: string, artifact: string, rest: string[], _: unknown, self: Command) => {
      await move(workload, node, artifact, rest, self);
    },
  );
}

async function move(
  workload: string,
  to: string,
  where: string,
  rest: string[],
  command: Command,
): Promise<void> {
  const options = command.optsWithGlobals<SignedOptions>();
  const { words, args } = splitArguments(command, rest);
  const request = await requestOf(where, options, words, args);
  await withClient(options, async (client, connection) => {
    const node = await nodeIdOf(client, to, `Cannot move "${workload}" to node`, options.timeout);
    const moved = await copyToMove(client, workload, node, options.timeout);
    const deployment = await client.deploy({
      ...request,
      ...deployOptionsOf(options, connection),
      ...{ name: moved.workload.name, node },
    });
    await stopOld(client, moved, request.issuer, deployment.nodeName);
    note(visible(`Moved ${moved.id} from node ${moved.nodeName} to ${deployment.nodeName}`));
    reportDeployment(deployment, request, options);
  });
}

/** @throws NexError `no_such_workload`, or `usage` when it is not clear which one is meant */
async function copyToMove(
  client: NexClient,
  workload: string,
  node: string,
  timeoutMs: number,
): Promise<WorkloadDetails> {
  const all = await client.workloadDetails(workload, { timeoutMs });
  const [copy, ...others] = all.filter(({ nodeId }) => nodeId !== node);
  if (copy === undefined) {
    throw new NexError(
      "no_such_workload",
      all.length > 0
        ? `Cannot move "${workload}": it runs on that node already`
        : `Cannot move "${workload}": no node runs it`,
      { advice: all.length > 0 ? "See where it runs with: nex ps" : "Start it with: nex run" },
    );
  }
  if (others.length === 0) return copy;
  throw new NexError("usage", `Cannot move "${workload}": ${others.length + 1} workloads have this name`, {
    advice: `Name one by its id: ${[copy, ...others].map(({ id, nodeName }) => `${id} on ${nodeName}`).join(", ")}`,
  });
}

async function stopOld(
  client: NexClient,
  { id, nodeId, nodeName, workload }: WorkloadDetails,
  issuer: Signer,
  newNode: string,
): Promise<void> {
  try {
    await client.stop({ nodeId, workloadId: id, name: workload.name, issuer });
  } catch (error) {
    if (error instanceof NexError && error.code === "no_such_workload") return;
    throw new NexError(
      error instanceof NexError ? error.code : "internal",
      `"${workload.name}" runs on node ${newNode}, but also still on ${nodeName}: ${errorText(error)}`,
      { cause: error, advice: `Stop it there with its own key: nex stop ${id} --issuer FILE` },
    );
  }
}
