/** `nex run`: deploy with everything said: the artifact, the keys, the node. */
import { existsSync } from "node:fs";
import type { Artifact, DeployOptions, NexClient, WorkloadDetails } from "@nexengine/client";
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
  typedTriggersOf,
  type WorkloadOptions,
} from "./workload-options.ts";

/** Options of `nex run` and `nex move`. */
export interface SignedOptions extends WorkloadOptions {
  xkey: string;
  issuer: string;
  description?: string;
}

interface RunOptions extends SignedOptions {
  name: string;
  replace: boolean;
}

/** Adds the options of a deploy that is signed with keys of the user's own. */
export function addSignedOptions(command: Command): Command {
  command
    .requiredOption("--issuer <file>", "seed file of the account key that signs")
    .requiredOption("--xkey <file>", "seed file of the curve key that seals the environment");
  return addWorkloadOptions(command).option("--description <text>", "what the workload is for");
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
    .requiredOption("--name <name>", "name of the workload");
  addSignedOptions(command)
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
  const variables = named === undefined ? words : words.slice(1);
  const request = await requestOf(where, options, variables, args);
  await withClient(options, async (client, connection) => {
    const node =
      named === undefined
        ? undefined
        : await nodeIdOf(client, named, "Cannot deploy to node", options.timeout);
    const replaces = options.replace ? await copiesToReplace(client, options, node) : [];
    const at = node ?? replaces[0]?.nodeId;
    const deployment = await client.deploy({
      ...request,
      ...deployOptionsOf(options, connection),
      ...{ name: options.name, replaces },
      ...(at === undefined ? {} : { node: at }),
    });
    if (deployment.replaced !== undefined) note(visible(`Replaced ${deployment.replaced}`));
    await new PreviousCopies(client, request.issuer, Promise.resolve(replaces)).stopAll(deployment);
    reportDeployment(deployment, request, options);
  });
}

/** The parts of a deploy that files and options say. @param variables Environment as `KEY=VALUE` */
export async function requestOf(
  where: string,
  options: SignedOptions,
  variables: readonly string[],
  args: readonly string[],
): Promise<Omit<DeployOptions, "name">> {
  const environment = environmentOf(variables, options.envFile);
  const { artifact, type } = await locate(where, options);
  return {
    ...{ type, artifact, environment, triggerSubjects: options.trigger_subject },
    triggers: typedTriggersOf(options),
    issuer: issuerKey(options.issuer),
    publisher: publisherKey(options.xkey),
    ...perRequestConnectionsOf(options),
    ...argvOf(options, args),
    ...(options.description === undefined ? {} : { description: options.description }),
  };
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
  options: SignedOptions,
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
