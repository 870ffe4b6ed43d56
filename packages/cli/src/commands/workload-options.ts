/** What `nex devrun` and `nex run` have in common: the options of a workload, and what they mean for a deploy. */
import type { Deployment, DeployOptions } from "@nexengine/client";
import { NexError, type Restart } from "@nexengine/protocol/internal";
import { type Command, Option } from "commander";
import { addConnectionOptions, type ConnectionOptions, connectionOf } from "../connection-options.ts";
import type { GlobalOptions } from "../global-options.ts";
import { callableSubject, hint } from "../hints.ts";
import { addLimitOptions, type LimitOptions, limitsOf } from "../limit-options.ts";
import type { Connection } from "../login.ts";
import { addSwitch, collect, positive } from "../option-values.ts";
import { print, printJson, visible } from "../output.ts";
import { uploadProgress } from "../progress.ts";
import { typeNames } from "../source.ts";

/** The options as commander gives them. */
export interface WorkloadOptions extends GlobalOptions, LimitOptions, ConnectionOptions {
  type?: string;
  argv?: string;
  essential?: boolean;
  trigger_subject: string[];
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
    .option("--argv <arguments>", "arguments of a service, separated by single spaces")
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
    .addOption(
      new Option(
        "--restart <policy>",
        "when a workload that has ended starts again: never, on-failure or always, with :N at most N times",
      ).argParser(parseRestart),
    )
    .option("--replicas <n>", "machines of the workload on its node", positive)
    .option("--json", "print the result as JSON", false);
  return addLimitOptions(command);
}

/** The connections that the function brings along; what is wrong with them is said before anybody is asked. */
export function ownConnectionsOf(
  options: WorkloadOptions,
): Pick<DeployOptions, "triggerConnection" | "hostServices"> {
  const triggerConnection = connectionOf("trigger", options);
  const hostServices = connectionOf("hs", options);
  return {
    ...(triggerConnection === undefined ? {} : { triggerConnection }),
    ...(hostServices === undefined ? {} : { hostServices }),
  };
}

/** The rest of a deploy that these options say. */
export function deployOptionsOf(options: WorkloadOptions, { jsDomain }: Connection): Partial<DeployOptions> {
  const onProgress = uploadProgress();
  const limits = limitsOf(options);
  return {
    essential: options.essential ?? false,
    ...(jsDomain === undefined ? {} : { jsDomain }),
    ...(options.argv === undefined ? {} : { argv: options.argv.split(" ") }),
    ...(options.globals === undefined ? {} : { globals: options.globals }),
    ...(options.concurrency === undefined ? {} : { concurrency: options.concurrency }),
    ...(options.restart === undefined ? {} : { restart: options.restart }),
    ...(options.replicas === undefined ? {} : { replicas: options.replicas }),
    ...(limits === undefined ? {} : { limits }),
    ...(onProgress === undefined ? {} : { onProgress }),
  };
}

/** Says what runs, and how to reach it. */
export function reportDeployment(
  deployment: Deployment,
  triggers: readonly string[],
  options: WorkloadOptions,
): void {
  if (options.json) {
    printJson({ ...deployment, triggers });
    return;
  }
  const { id, name, nodeName } = deployment;
  print(visible(`🚀 "${name}" runs as ${id} on node ${nodeName}`));
  const subject = triggers[0];
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
