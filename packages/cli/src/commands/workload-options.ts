/** What `nex devrun` and `nex run` have in common: the options of a workload, and what they mean for a deploy. */
import type { Deployment, DeployOptions } from "@nexengine/client";
import { type Command, Option } from "commander";
import { commandName } from "../daemon.ts";
import type { GlobalOptions } from "../global-options.ts";
import { collect, positive } from "../option-values.ts";
import { print, printJson } from "../output.ts";
import { uploadProgress } from "../progress.ts";
import { typeNames } from "../source.ts";

/** The options as commander gives them. */
export interface WorkloadOptions extends GlobalOptions {
  type?: string;
  argv?: string;
  essential: boolean;
  trigger_subject: string[];
  globals?: "fresh" | "keep";
  concurrency?: number;
  json: boolean;
}

/** Adds the options to a command. */
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

/** The part of a deploy that these options say. */
export function deployOptionsOf(options: WorkloadOptions): Partial<DeployOptions> {
  const onProgress = uploadProgress();
  return {
    essential: options.essential,
    ...(options.argv === undefined ? {} : { argv: options.argv.split(" ") }),
    ...(options.globals === undefined ? {} : { globals: options.globals }),
    ...(options.concurrency === undefined ? {} : { concurrency: options.concurrency }),
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
  print(`   Stop it:  ${commandName()} stop ${deployment.name}`);
}
