/** `nex devrun FILE [K=V…]`: a file, its environment, and everything else is taken care of. */
import type { NexClient, WorkloadDetails } from "@nexengine/client";
import {
  defaultTrigger,
  errorText,
  functionTypes,
  NexError,
  workloadNameOfFile,
} from "@nexengine/protocol/internal";
import type { Command } from "commander";
import { parseEnvironment } from "../environment.ts";
import { issuerKey, publisherKey } from "../key-files.ts";
import { withClient } from "../login.ts";
import { addSwitch, positive } from "../option-values.ts";
import { note } from "../output.ts";
import { artifactOf, typeNames, typeOfFile } from "../source.ts";
import {
  addWorkloadOptions,
  deployOptionsOf,
  ownConnectionsOf,
  reportDeployment,
  type WorkloadOptions,
} from "./workload-options.ts";

interface DevrunOptions extends WorkloadOptions {
  name?: string;
  stop?: boolean;
  bucketmaxbytes?: number;
}

/** Adds the command. */
export function addDevrun(program: Command): void {
  const command = program
    .command("devrun")
    .alias("yeet")
    .description("deploy a file while you work on it: an executable, JavaScript, TypeScript or Wasm")
    .argument("<file>", "what to run")
    .argument("[variables...]", "environment, as KEY=VALUE");
  addSwitch(
    command,
    "stop",
    "stop the copies that run already, once the new one runs; on unless told otherwise",
  );
  addWorkloadOptions(command)
    .option("--name <name>", "name of the workload; that of the file otherwise")
    .option("--bucketmaxbytes <n>", "size of the upload bucket, when it is created", positive)
    .action(async (file: string, variables: string[], _: unknown, self: Command) => {
      await devrun(file, variables, self.optsWithGlobals<DevrunOptions>());
    });
}

async function devrun(file: string, variables: string[], options: DevrunOptions): Promise<void> {
  const environment = parseEnvironment(variables);
  const type = typeNames[options.type ?? ""] ?? typeOfFile(file);
  const name = options.name ?? workloadNameOfFile(file);
  const triggers = triggersOf(options.trigger_subject, type, options.namespace, name);
  const artifact = await artifactOf(file, type);
  const issuer = issuerKey();
  const ownConnections = ownConnectionsOf(options);
  await withClient(options, async (client, connection) => {
    // Begun before the new copy, and needed when all else of it is there, so that finding them costs no time.
    const former = (options.stop ?? true) ? client.workloadDetails(name) : Promise.resolve([]);
    former.catch(() => undefined);
    const deployment = await client.deploy({
      name,
      type,
      artifact,
      issuer,
      publisher: publisherKey(),
      environment,
      description: "Workload published in devmode",
      triggerSubjects: triggers,
      replaces: former,
      ...deployOptionsOf(options, connection),
      ...ownConnections,
      ...(options.bucketmaxbytes === undefined ? {} : { bucketBytesMax: options.bucketmaxbytes }),
    });
    const { id: newest, replaced } = deployment;
    if (replaced !== undefined) note(`Replaced the former copy ${replaced}`);
    const others = (await former).filter(({ id }) => id !== newest && id !== replaced);
    await stopFormer(client, others, issuer);
    reportDeployment(deployment, triggers, options.json);
  });
}

/** Only now that the new copy runs, the old ones may go. */
async function stopFormer(
  client: NexClient,
  former: readonly WorkloadDetails[],
  issuer: ReturnType<typeof issuerKey>,
): Promise<void> {
  for (const { id: workloadId, nodeId, workload } of former) {
    try {
      await client.stop({ nodeId, workloadId, name: workload.name, issuer });
      note(`Replaced the former copy ${workloadId}`);
    } catch (error) {
      if (error instanceof NexError && error.code === "no_such_workload") continue;
      note(`Left the former copy ${workloadId} running: ${errorText(error)}`);
    }
  }
}

/** A function that was given no trigger gets one. */
export function triggersOf(
  given: readonly string[],
  type: string,
  namespace: string,
  name: string,
): string[] {
  return given.length === 0 && functionTypes.has(type) ? [defaultTrigger(namespace, name)] : [...given];
}
