/** `nex devrun FILE [K=V…]`: a file, its environment, and everything else is taken care of. */
import type { Deployment, DeployOptions, NexClient } from "@nexengine/client";
import { NexError, toNexError } from "@nexengine/protocol/errors";
import { functionTypes } from "@nexengine/protocol/messages";
import { defaultTrigger, workloadNameOfFile } from "@nexengine/protocol/subjects";
import { type Command, Option } from "commander";
import { environmentOf } from "../environment.ts";
import { hint } from "../hints.ts";
import { issuerKey, publisherKey } from "../key-files.ts";
import { withClient } from "../login.ts";
import { addSwitch, parseDuration, positive } from "../option-values.ts";
import { note, visible, visibleLines } from "../output.ts";
import { PreviousCopies } from "../previous-copies.ts";
import { artifactOf, typeNames, typeOfFile } from "../source.ts";
import { StartWatch } from "../start-watch.ts";
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

interface DevrunOptions extends WorkloadOptions {
  name?: string;
  stop?: boolean;
  bucketmaxbytes?: number;
  settle: number;
}

const settleMsDefault = 1_000;

/** Adds the command. */
export function addDevrun(program: Command): void {
  const command = program
    .command("devrun")
    .alias("yeet")
    .description("deploy a file while you work on it: an executable, JavaScript, TypeScript or Wasm")
    .argument("<file>", "what to run")
    .argument("[variables...]", "environment, as KEY=VALUE; then -- and arguments of a service");
  addSwitch(
    command,
    "stop",
    "stop the copies of exactly this name that run already, once the new one runs; on unless told otherwise",
  );
  addWorkloadOptions(command)
    .option("--name <name>", "name of the workload; that of the file otherwise")
    .addOption(
      new Option("--settle <duration>", "how long a service must run before it counts as started")
        .argParser(parseDuration)
        .default(settleMsDefault, "1s"),
    )
    .option("--bucketmaxbytes <n>", "size of the upload bucket, when it is created", positive)
    .action(async (file: string, variables: string[], _: unknown, self: Command) => {
      await devrun(file, variables, self);
    });
}

async function devrun(file: string, operands: string[], command: Command): Promise<void> {
  const options = command.optsWithGlobals<DevrunOptions>();
  const { words, args } = splitArguments(command, operands);
  const environment = environmentOf(words, options.envFile);
  const argv = argvOf(options, args);
  const type = typeNames[options.type ?? ""] ?? typeOfFile(file);
  const name = options.name ?? workloadNameOfFile(file);
  const typed = typedTriggersOf(options);
  const subjects =
    typed.length > 0
      ? options.trigger_subject
      : triggersOf(options.trigger_subject, type, options.namespace, name);
  const artifact = await artifactOf(file, type);
  const issuer = issuerKey();
  const perRequestConnections = perRequestConnectionsOf(options);
  await withClient(options, async (client, connection) => {
    // Started before the new copy: finding the old ones costs no time then.
    const previous = (options.stop ?? true) ? client.workloadDetails(name) : Promise.resolve([]);
    previous.catch(() => undefined);
    const request: DeployOptions = {
      name,
      type,
      artifact,
      issuer,
      publisher: publisherKey(),
      environment,
      description: "Workload published in devmode",
      triggerSubjects: subjects,
      triggers: typed,
      ...deployOptionsOf(options, connection),
      ...perRequestConnections,
      ...argv,
      ...(options.bucketmaxbytes === undefined ? {} : { bucketBytesMax: options.bucketmaxbytes }),
    };
    const copies = new PreviousCopies(client, issuer, previous);
    const isCalled = functionTypes.has(type) || typed.length > 0;
    const deployment = isCalled
      ? await client.deploy({ ...request, replaces: previous })
      : await deployService(client, request, copies, options);
    if (deployment.replaced !== undefined) note(visible(`Replaced the previous copy ${deployment.replaced}`));
    await copies.stopAll(deployment);
    reportDeployment(deployment, request, options);
  });
}

/**
 * Deploys a service and watches it for a moment; until then the previous copies run on.
 *
 * @throws NexError `workload_ended` when it does not stay up
 */
async function deployService(
  client: NexClient,
  request: DeployOptions,
  copies: PreviousCopies,
  options: DevrunOptions,
): Promise<Deployment> {
  await using watch = await StartWatch.open(client, request.name);
  const deployment = await deployToFreePort(client, request, copies);
  const end = await watch.outcome(deployment, options.settle);
  if (end === undefined) return deployment;
  if (end.lines.length > 0) note(`Last lines of "${request.name}":`);
  for (const line of end.lines) note(`    ${visibleLines(line)}`);
  const kept = await copies.left(deployment);
  const advice = [];
  if (/out of memory|SIGKILL/.test(end.how)) {
    const why = end.how.includes("SIGKILL") ? "The kernel kills what needs more memory than there is; " : "";
    advice.push(`${why}give it more with: --memory SIZE`);
  }
  if (end.restarts) {
    // The node would start it for ever beside the copy that works.
    if (kept.length > 0) await copies.stop(deployment.id, deployment.nodeId, deployment.name);
    else advice.push(`Its node starts it again; stop it with: ${hint(options, "stop", request.name)}`);
  }
  if (kept.length > 0) advice.push(`The previous copy runs on: ${kept.map(({ id }) => id).join(", ")}`);
  if (copies.stopped.length > 0) advice.push(`The previous copy is gone: ${copies.stopped.join(", ")}`);
  throw new NexError("workload_ended", `Service "${request.name}" ${end.how} right after its start`, {
    ids: { workload: deployment.id, node: deployment.nodeId },
    ...(advice.length === 0 ? {} : { advice: advice.join("; ") }),
  });
}

/** A port of the host has one owner, so a previous copy that has it goes first. */
async function deployToFreePort(
  client: NexClient,
  request: DeployOptions,
  copies: PreviousCopies,
): Promise<Deployment> {
  try {
    return await client.deploy(request);
  } catch (error) {
    if (!(error instanceof NexError) || error.code !== "port_taken") throw error;
    const holders = await copies.holding(request.limits?.publish ?? []);
    const [first] = holders;
    if (first === undefined) throw error;
    for (const { id, nodeId, workload, port } of holders) {
      note(visible(`Stopping the previous copy ${id} first: it holds port ${port}, which a new copy needs`));
      await copies.stop(id, nodeId, workload.name);
    }
    try {
      return await client.deploy({ ...request, node: first.nodeId });
    } catch (failure) {
      const { code, message, ids } = toNexError(failure);
      const advice = `The previous copy is gone: ${copies.stopped.join(", ")}`;
      throw new NexError(code, message, { cause: failure, ids, advice });
    }
  }
}

/** A function that was given no trigger gets one. */
function triggersOf(given: readonly string[], type: string, namespace: string, name: string): string[] {
  return given.length === 0 && functionTypes.has(type) ? [defaultTrigger(namespace, name)] : [...given];
}
