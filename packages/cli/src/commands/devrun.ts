/** `nex devrun FILE [K=V…]`: a file, its environment, and everything else is taken care of. */
import type { Deployment, NexClient, WorkloadDetails } from "@nexengine/client";
import {
  defaultTrigger,
  errorText,
  functionTypes,
  NexError,
  workloadNameOfFile,
} from "@nexengine/protocol/internal";
import { type Command, InvalidArgumentError, Option } from "commander";
import { commandName } from "../daemon.ts";
import { parseEnvironment } from "../environment.ts";
import { type GlobalOptions, withClient } from "../global-options.ts";
import { issuerKey, publisherKey } from "../key-files.ts";
import { note, print, printJson } from "../output.ts";
import { uploadProgress } from "../progress.ts";
import { artifactOf, typeNames, typeOfFile } from "../source.ts";

interface DevrunOptions extends GlobalOptions {
  type?: string;
  name?: string;
  argv?: string;
  essential: boolean;
  trigger_subject: string[];
  stop: boolean;
  bucketmaxbytes?: number;
  globals?: "fresh" | "keep";
  concurrency?: number;
  json: boolean;
}

/** Options that say what is deployed; `run` has them too. */
export function addWorkloadOptions(command: Command): Command {
  return command
    .addOption(new Option("--type <type>", "native, v8 (javascript) or wasm").choices(Object.keys(typeNames)))
    .option("--argv <arguments>", "arguments of a service, separated by single spaces")
    .option("--essential", "restart a service that fails", false)
    .option(
      "--trigger, --trigger_subject <subject>",
      "subject that calls a function; repeatable",
      collect,
      [],
    )
    .addOption(
      new Option("--globals <life>", "of a function: fresh for each call, or keep").choices([
        "fresh",
        "keep",
      ]),
    )
    .option("--concurrency <n>", "calls of a function that may overlap", positive)
    .option("--json", "print the result as JSON", false);
}

export function collect(value: string, former: string[]): string[] {
  return [...former, value];
}

export function positive(text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new InvalidArgumentError("It must be a whole number above 0.");
}

/** Adds the command. */
export function addDevrun(program: Command): void {
  const command = program
    .command("devrun")
    .alias("yeet")
    .description("deploy a file while you work on it: an executable, JavaScript, TypeScript or Wasm")
    .argument("<file>", "what to run")
    .argument("[variables...]", "environment, as KEY=VALUE");
  addWorkloadOptions(command)
    .option("--name <name>", "name of the workload; that of the file otherwise")
    .option("--no-stop", "leave copies that run already")
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
  await withClient(options, async (client) => {
    // Begun before the new copy and looked at after it, so that finding the former ones costs no time.
    const former = options.stop ? client.workloadDetails(name) : Promise.resolve([]);
    former.catch(() => undefined);
    const onProgress = uploadProgress();
    const deployment = await client.deploy({
      name,
      type,
      artifact,
      issuer,
      publisher: publisherKey(),
      environment,
      description: "Workload published in devmode",
      triggerSubjects: triggers,
      essential: options.essential,
      ...(options.argv === undefined ? {} : { argv: options.argv.split(" ") }),
      ...(options.globals === undefined ? {} : { globals: options.globals }),
      ...(options.concurrency === undefined ? {} : { concurrency: options.concurrency }),
      ...(options.bucketmaxbytes === undefined ? {} : { bucketBytesMax: options.bucketmaxbytes }),
      ...(onProgress === undefined ? {} : { onProgress }),
    });
    const formerCopies = (await former).filter(({ id }) => id !== deployment.id);
    await stopFormer(client, formerCopies, issuer);
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

/** Says what runs, and how to reach it. */
export function reportDeployment(deployment: Deployment, triggers: readonly string[], json: boolean): void {
  if (json) {
    printJson({ ...deployment, triggers });
    return;
  }
  print(`🚀 "${deployment.name}" runs as ${deployment.id} on node ${deployment.nodeName}`);
  const subject = triggers[0];
  if (subject !== undefined) print(`   Call it:  ${commandName()} request ${subject} hello`);
  print(`   Stop it:  ${commandName()} stop ${deployment.name}`);
}
