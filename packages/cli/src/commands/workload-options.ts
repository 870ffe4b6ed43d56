/** What `nex devrun` and `nex run` have in common: the options of a workload, and what they mean for a deploy. */
import type { Deployment, DeployOptions } from "@nexengine/client";
import { NexError } from "@nexengine/protocol/internal";
import { type Command, Option } from "commander";
import { commandName } from "../daemon.ts";
import type { GlobalOptions } from "../global-options.ts";
import { addLimitOptions, type LimitOptions, limitsOf } from "../limit-options.ts";
import type { Connection } from "../login.ts";
import { addSwitch, collect, positive } from "../option-values.ts";
import { print, printJson } from "../output.ts";
import { uploadProgress } from "../progress.ts";
import { typeNames } from "../source.ts";

/** The options as commander gives them. */
export interface WorkloadOptions extends GlobalOptions, LimitOptions {
  type?: string;
  argv?: string;
  essential?: boolean;
  hs_url?: string;
  hs_jwt?: string;
  hs_seed?: string;
  trigger_subject: string[];
  globals?: "fresh" | "keep";
  concurrency?: number;
  json: boolean;
}

const hostServiceOptions = ["hs_url", "hs_jwt", "hs_seed"] as const;

/** Adds the options to a command. */
export function addWorkloadOptions(command: Command): Command {
  addSwitch(command, "essential", "restart a service that fails");
  for (const option of hostServiceOptions) {
    command.option(`--${option} <value>`, "accepted, and refused: host services are not acted on yet");
  }
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
    .option("--json", "print the result as JSON", false);
  return addLimitOptions(command);
}

/**
 * Refuses what a node would pass over, before anything is sent.
 *
 * @throws NexError `feature_missing`
 */
export function checkWorkloadOptions(options: WorkloadOptions): void {
  const refused = hostServiceOptions.find((name) => options[name] !== undefined);
  if (refused === undefined) return;
  throw new NexError(
    "feature_missing",
    `Cannot deploy with --${refused}: nodes do not act on host services yet`,
    {
      advice: `Leave out ${hostServiceOptions.map((name) => `--${name}`).join(", ")}`,
    },
  );
}

/** The part of a deploy that these options say. */
export function deployOptionsOf(options: WorkloadOptions, { jsDomain }: Connection): Partial<DeployOptions> {
  const onProgress = uploadProgress();
  const limits = limitsOf(options);
  return {
    essential: options.essential ?? false,
    ...(jsDomain === undefined ? {} : { jsDomain }),
    ...(options.argv === undefined ? {} : { argv: options.argv.split(" ") }),
    ...(options.globals === undefined ? {} : { globals: options.globals }),
    ...(options.concurrency === undefined ? {} : { concurrency: options.concurrency }),
    ...(limits === undefined ? {} : { limits }),
    ...(onProgress === undefined ? {} : { onProgress }),
  };
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
  for (const { machine_port, host, host_port } of deployment.published) {
    print(`   Port ${machine_port} is reached at ${host}:${host_port}`);
  }
  print(`   Stop it:  ${commandName()} stop ${deployment.name}`);
}
