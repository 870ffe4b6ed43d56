/** The options of a workload that `nex devrun` and `nex run` share, and their effect on a deploy. */
import type { Deployment, DeployOptions, TriggerRequest } from "@nexengine/client";
import { NexError } from "@nexengine/protocol/errors";
import { describeTrigger, type Restart } from "@nexengine/protocol/messages";
import { type Command, InvalidArgumentError, Option } from "commander";
import { addConnectionOptions, type ConnectionOptions, connectionOf } from "../connection-options.ts";
import type { GlobalOptions } from "../global-options.ts";
import { addHealthOptions, type HealthOptions, healthOf } from "../health-options.ts";
import { callableSubject, hint } from "../hints.ts";
import { addLimitOptions, type LimitOptions, limitsOf } from "../limit-options.ts";
import type { Connection } from "../login.ts";
import { addSwitch, collect, positive } from "../option-values.ts";
import { print, printJson, visible } from "../output.ts";
import { uploadProgress } from "../progress.ts";
import { typeNames } from "../source.ts";
import { parseTrigger, readTriggers, triggerForms } from "../trigger-grammar.ts";

/** The options as commander gives them. */
export interface WorkloadOptions extends GlobalOptions, LimitOptions, HealthOptions, ConnectionOptions {
  type?: string;
  argv?: string;
  envFile?: string;
  tags: Record<string, string>;
  essential?: boolean;
  trigger_subject: string[];
  on: string[];
  triggers?: string;
  globals?: "fresh" | "keep";
  concurrency?: number;
  replicas?: number;
  restart?: Restart;
  json: boolean;
}

/** Adds the options to a command. */
export function addWorkloadOptions(command: Command): Command {
  addSwitch(command, "essential", "restart a service that fails");
  addConnectionOptions(command);
  command
    .addOption(new Option("--type <type>", "native, v8 (javascript) or wasm").choices(Object.keys(typeNames)))
    .option("--argv <arguments>", "arguments of a service, separated by single spaces; any others after --")
    .option("--env-file <file>", "file with the environment, a KEY=VALUE a line; the command line wins")
    .option(
      "--tags <name=value>",
      "tags that the node must have, for the auction; with commas, and repeatable",
      collectTags,
      {},
    )
    .option(
      "--trigger, --trigger_subject <subject>",
      "subject that calls a function; repeatable",
      collect,
      [],
    )
    .option(
      "--on <trigger>",
      `what calls a function, repeatable: ${triggerForms.map((form) => `"${form}"`).join(", ")}, with options as NAME=VALUE; see the guide`,
      collect,
      [],
    )
    .option("--triggers <file>", "JSON file with a list of triggers, as in the guide")
    .addOption(
      new Option("--globals <life>", "of a function: fresh for each call, or keep").choices([
        "fresh",
        "keep",
      ]),
    )
    .option("--concurrency <n>", "calls of a function that may overlap", positive)
    .addOption(
      new Option(
        "--restart <policy>",
        "when a workload that has ended starts again: never, on-failure or always, with :N at most N times",
      ).argParser(parseRestart),
    )
    .option("--replicas <n>", "machines of the workload on its node", positive)
    .option("--json", "print the result as JSON", false);
  return addLimitOptions(addHealthOptions(command));
}

/** The connections that the function brings along; what is wrong with them is said before anybody is asked. */
export function perRequestConnectionsOf(
  options: WorkloadOptions,
): Pick<DeployOptions, "triggerConnection" | "hostServices"> {
  const triggerConnection = connectionOf("trigger", options);
  const hostServices = connectionOf("hs", options);
  return {
    ...(triggerConnection === undefined ? {} : { triggerConnection }),
    ...(hostServices === undefined ? {} : { hostServices }),
  };
}

/** The triggers that are no plain subjects. @throws NexError `usage`, `file_not_found` */
export function typedTriggersOf({ on, triggers }: WorkloadOptions): TriggerRequest[] {
  return [...(triggers === undefined ? [] : readTriggers(triggers)), ...on.map(parseTrigger)];
}

/** The rest of a deploy that these options say. */
export function deployOptionsOf(options: WorkloadOptions, { jsDomain }: Connection): Partial<DeployOptions> {
  const onProgress = uploadProgress();
  const limits = limitsOf(options);
  const health = healthOf(options);
  return {
    essential: options.essential ?? false,
    ...(jsDomain === undefined ? {} : { jsDomain }),
    ...(Object.keys(options.tags).length === 0 ? {} : { tags: options.tags }),
    ...(options.globals === undefined ? {} : { globals: options.globals }),
    ...(options.concurrency === undefined ? {} : { concurrency: options.concurrency }),
    ...(options.restart === undefined ? {} : { restart: options.restart }),
    ...(options.replicas === undefined ? {} : { replicas: options.replicas }),
    ...(limits === undefined ? {} : { limits }),
    ...(health === undefined ? {} : { health }),
    ...(onProgress === undefined ? {} : { onProgress }),
  };
}

/** Words after `--` on the command line are arguments of the workload, whatever they look like. */
export function splitArguments(
  command: Command,
  operands: readonly string[],
): { words: readonly string[]; args: readonly string[] } {
  let program: Command = command;
  while (program.parent !== null) program = program.parent;
  const raw = (program as Command & { rawArgs: readonly string[] }).rawArgs;
  const mark = raw.indexOf("--");
  const count = mark < 0 ? 0 : raw.length - mark - 1;
  const at = operands.length - count;
  return { words: operands.slice(0, at), args: operands.slice(at) };
}

/** @throws NexError `usage` where they are given twice */
export function argvOf(
  { argv }: Pick<WorkloadOptions, "argv">,
  args: readonly string[],
): Pick<DeployOptions, "argv"> {
  if (argv !== undefined && args.length > 0) {
    throw new NexError("usage", "Cannot take arguments both from --argv and after --");
  }
  if (args.length > 0) return { argv: args };
  return argv === undefined ? {} : { argv: argv.split(" ") };
}

function collectTags(text: string, previous: Record<string, string>): Record<string, string> {
  const tags = text.split(",").map((tag) => {
    const at = tag.indexOf("=");
    if (at <= 0) throw new InvalidArgumentError("A tag looks like NAME=VALUE.");
    return [tag.slice(0, at), tag.slice(at + 1)];
  });
  return { ...previous, ...Object.fromEntries(tags) };
}

/** Says what runs, and how to reach it. */
export function reportDeployment(
  deployment: Deployment,
  {
    triggerSubjects: subjects = [],
    triggers: typed = [],
  }: Pick<DeployOptions, "triggerSubjects" | "triggers">,
  options: WorkloadOptions,
): void {
  if (options.json) {
    printJson({ ...deployment, triggers: [...subjects, ...typed] });
    return;
  }
  const { id, name, nodeName } = deployment;
  print(visible(`🚀 "${name}" runs as ${id} on node ${nodeName}`));
  const subject = subjects[0];
  for (const trigger of typed) print(visible(`   Called by:  ${describeTrigger(trigger)}`));
  if (subject !== undefined)
    print(`   Call it:  ${hint(options, "request", callableSubject(subject), "hello")}`);
  for (const { machine_port, host, host_port } of deployment.published) {
    print(visible(`   Port ${machine_port} is reached at ${host}:${host_port}`));
  }
  print(`   Stop it:  ${hint(options, "stop", name)}`);
}

/** @throws NexError `usage` */
function parseRestart(text: string): Restart {
  const [, policy, times] = /^(never|on-failure|always)(?::(\d{1,6}))?$/.exec(text) ?? [];
  if (policy === undefined)
    throw new NexError(
      "usage",
      `Cannot restart "${text}": it is never, on-failure or always, with :N at most N times`,
    );
  return {
    policy: policy as Restart["policy"],
    ...(times === undefined ? {} : { max_restarts: Number(times) }),
  };
}
