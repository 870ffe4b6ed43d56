/** `nex run`: deploy with everything said: the artifact, the keys, the node. */
import { existsSync } from "node:fs";
import type { Artifact, NexClient, WorkloadDetails } from "@nexengine/client";
import { NexError } from "@nexengine/protocol/errors";
import { goUrlOf, parseObjectLocation } from "@nexengine/protocol/formats";
import type { WorkloadType } from "@nexengine/protocol/messages";
import type { Command } from "commander";
import { environmentOf } from "../environment.ts";
import { issuerKey, publisherKey } from "../key-files.ts";
import { withClient } from "../login.ts";
import { nodeIdOf } from "../node-id.ts";
import { note, visible } from "../output.ts";
import { PreviousCopies } from "../previous-copies.ts";
import { artifactOf, typeNames, typeOfFile } from "../source.ts";
import {
  addWorkloadOptions,
  argvOf,
  deployOptionsOf,
  perRequestConnectionsOf,
  reportDeployment,
  splitArguments,
  type WorkloadOptions,
} from "./workload-options.ts";

interface RunOptions extends WorkloadOptions {
  xkey: string;
  issuer: string;
  name: string;
  description?: string;
  replace: boolean;
}

/** Adds the command. */
export function addRun(program: Command): void {
  const command = program
    .command("run")
    .description("deploy a workload: an object in a bucket (nats://BUCKET/KEY), or a file")
    .argument("<artifact>", "nats://BUCKET/KEY, or a file to upload")
    .argument(
      "[node-and-variables...]",
      "the node's id, its beginning, or its name (an auction chooses without), then environment as KEY=VALUE, then -- and arguments of a service",
    )
    .requiredOption("--issuer <file>", "seed file of the account key that signs")
    .requiredOption("--xkey <file>", "seed file of the curve key that seals the environment")
    .requiredOption("--name <name>", "name of the workload");
  addWorkloadOptions(command)
    .option("--description <text>", "what the workload is for")
    .option(
      "--replace",
      "take the place of the workload of this name on its node, which ends once the new one is ready",
      false,
    )
    .action(async (artifact: string, rest: string[], _: unknown, self: Command) => {
      await run(artifact, rest, self);
    });
}

async function run(where: string, rest: string[], command: Command): Promise<void> {
  const options = command.optsWithGlobals<RunOptions>();
  const { words, args } = splitArguments(command, rest);
  const [first] = words;
  // A variable has one of these, a node none.
  const named = first !== undefined && !/[=:]/.test(first) ? first : undefined;
  const environment = environmentOf(named === undefined ? words : words.slice(1), options.envFile);
  const { artifact, type } = await locate(where, options);
  const issuer = issuerKey(options.issuer);
  const publisher = publisherKey(options.xkey);
  const perRequestConnections = perRequestConnectionsOf(options);
  const argv = argvOf(options, args);
  await withClient(options, async (client, connection) => {
    const node =
      named === undefined
        ? undefined
        : await nodeIdOf(client, named, "Cannot deploy to node", options.timeout);
    const replaces = options.replace ? await copiesToReplace(client, options, node) : [];
    const at = node ?? replaces[0]?.nodeId;
    const deployment = await client.deploy({
      name: options.name,
      type,
      artifact,
      issuer,
      publisher,
      environment,
      triggerSubjects: options.trigger_subject,
      ...deployOptionsOf(options, connection),
      ...perRequestConnections,
      ...argv,
      replaces,
      ...(at === undefined ? {} : { node: at }),
      ...(options.description === undefined ? {} : { description: options.description }),
    });
    if (deployment.replaced !== undefined) note(visible(`Replaced ${deployment.replaced}`));
    await new PreviousCopies(client, issuer, Promise.resolve(replaces)).stopAll(deployment);
    reportDeployment(deployment, options.trigger_subject, options);
  });
}

/**
 * The workloads of the name on one node.
 *
 * @throws NexError `usage` when they run on several nodes and none is named
 */
async function copiesToReplace(
  client: NexClient,
  { name, timeout }: RunOptions,
  node: string | undefined,
): Promise<WorkloadDetails[]> {
  const all = await client.workloadDetails(name, { timeoutMs: timeout });
  const copies = all.filter(({ nodeId }) => node === undefined || nodeId === node);
  const nodes = new Map(copies.map(({ nodeId, nodeName }) => [nodeId, nodeName]));
  if (nodes.size <= 1) return copies;
  throw new NexError("usage", `Cannot replace "${name}": it runs on ${nodes.size} nodes`, {
    advice: `Name one of them after the artifact: ${[...nodes.values()].join(", ")}`,
  });
}

async function locate(
  where: string,
  options: RunOptions,
): Promise<{ artifact: Artifact; type: WorkloadType }> {
  const named = typeNames[options.type ?? ""];
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(where)) {
    return { artifact: parseObjectLocation(goUrlOf(where)), type: named ?? "native" };
  }
  if (!existsSync(where)) {
    throw new NexError("file_not_found", `Cannot deploy "${where}": there is no such file`, {
      advice: "An object in a bucket is named like nats://BUCKET/KEY",
    });
  }
  const type = named ?? typeOfFile(where);
  return { artifact: await artifactOf(where, type), type };
}
