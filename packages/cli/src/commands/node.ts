/** `nex node`: starting one here; the other commands have files of their own. */
import { existsSync } from "node:fs";
import { type NodeConfigInput, RemotePredecessor, readConfigFile, startNode } from "@nexengine/node/internal";
import { type Command, Option } from "commander";
import { isolationBanner, untilEnded, version } from "../daemon.ts";
import type { GlobalOptions } from "../global-options.ts";
import { connectionOf } from "../login.ts";
import { createNodeLog } from "../node-log.ts";
import { addIdle, idleWarnings, parseDuration } from "../option-values.ts";
import { note } from "../output.ts";
import { claimPidFile } from "../pid-file.ts";
import {
  addSandboxOptions,
  driverOf,
  probeLine,
  type SandboxOptions,
  sandboxOf,
  stateOf,
} from "../sandbox.ts";
import { ParentLink } from "../upgrade/parent-link.ts";
import { Successors } from "../upgrade/successors.ts";
import { UpgradeSocket } from "../upgrade/upgrade-socket.ts";
import { addLameDuck } from "./lameduck.ts";
import { addNodeInfo } from "./node-info.ts";
import { addNodeList } from "./node-list.ts";
import { addNodeProbe } from "./node-probe.ts";
import { addNodeState } from "./node-state.ts";
import { addNodeUpgrade } from "./node-upgrade.ts";
import { addPreflight } from "./preflight.ts";

interface NodeUpOptions extends GlobalOptions, SandboxOptions {
  config?: string;
  ephemeral: boolean;
  durable?: "kv";
  identity?: string;
  waitForNats?: number;
}

/** Telemetry is not exported yet. */
const idleFlags = [
  "metrics",
  "metrics_port",
  "otel_metrics_exporter",
  "traces",
  "otel_traces_exporter",
] as const;
const idleValues: ReadonlySet<string> = new Set([
  "metrics_port",
  "otel_metrics_exporter",
  "otel_traces_exporter",
]);
const defaultNexus = "nexus";
const usualConfig = "config.json";

/** Adds the commands. */
export function addNode(program: Command): void {
  const node = program.command("node").alias("nodes").description("start nodes, and see which there are");
  const up = node
    .command("up")
    .description("start a node that joins the nexus of a NATS server")
    .option("--config <file>", `configuration file (JSON); ./${usualConfig} where there is one`)
    .option("--ephemeral", "end workloads with the node, and record none of them", false)
    .addOption(
      new Option(
        "--durable <where>",
        "keep copies of accepted deploys in buckets of the NATS system too, so that they survive the disk",
      ).choices(["kv"]),
    )
    .option(
      "--identity <file>",
      "identity.json of a state directory that was lost, for the node that takes its place",
    )
    .option(
      "--wait-for-nats <duration>",
      "time that NATS may take to be there at the start, as for a service: 10m; the node fails at once without it",
      parseDuration,
    )
    .action(async (_: unknown, self: Command) => {
      await nodeUp(self.optsWithGlobals<NodeUpOptions>());
    });
  addSandboxOptions(up);
  for (const flag of idleFlags) addIdle(up, idleValues.has(flag) ? `--${flag} <value>` : `--${flag}`);
  addNodeList(node);
  addNodeInfo(node);
  addNodeProbe(node);
  addNodeState(node);
  addNodeUpgrade(node);
  addPreflight(node);
  addLameDuck(node);
}

async function nodeUp(options: NodeUpOptions): Promise<void> {
  const path = options.config ?? (existsSync(usualConfig) ? usualConfig : undefined);
  const { config, warnings } = await configOf(path);
  const sandbox = sandboxOf(options, config);
  const { login } = connectionOf(options);
  await using stack = new AsyncDisposableStack();
  const nodeLog = stack.use(createNodeLog(options));
  if (path !== undefined) nodeLog.log.info({ file: path }, "configuration read");
  for (const warning of [...warnings, ...idleWarnings(options, idleFlags)]) nodeLog.log.warn(warning);
  const parent = ParentLink.open();
  // The parent of a successor stays, with its file.
  if (config.pid_filepath !== undefined && parent === undefined) stack.use(claimPidFile(config.pid_filepath));
  const node = stack.use(
    await startNode({
      login,
      nexus: options.nexus ?? defaultNexus,
      config: {
        ...config,
        ...(options.durable === undefined ? {} : { durable: options.durable }),
        ...(options.waitForNats === undefined ? {} : { wait_for_nats_ms: Math.ceil(options.waitForNats) }),
      },
      ...stateOf(options),
      ephemeral: options.ephemeral,
      ...(options.identity === undefined ? {} : { identityFile: options.identity }),
      driver: driverOf(sandbox, config, {
        onProbe: (probe) => nodeLog.log.info(`sandbox ${probeLine(probe)}`),
      }),
      log: nodeLog.log,
      version: version(),
      ...(parent === undefined ? {} : { predecessor: new RemotePredecessor(parent.steps) }),
    }),
  );
  parent?.endWithParent(nodeLog.log);
  const successors = new Successors();
  let starting: Promise<number> | undefined;
  const upgrades = stack.use(
    await UpgradeSocket.open(node.directory, async (program) => {
      starting =
        parent === undefined ? successors.startFirst(node, program) : parent.startSuccessor(node, program);
      const pid = await starting;
      upgrades.isHandedOver = true;
      return pid;
    }),
  );
  // Before anything is shown: whoever sees it may press Ctrl-C. Both at once: also while the log still connects.
  const ended = untilEnded(node.ended, () => node.stop());
  if (sandbox === "process") note(isolationBanner());
  await Promise.all([ended, nodeLog.publish(login, node.id)]);
  await starting?.catch(() => undefined);
  if (successors.haveNode) await followTo(successors, upgrades, nodeLog);
}

/** Stays as the first process of a node that is in another one, so that a supervisor finds it in its place. */
async function followTo(successors: Successors, ...released: readonly AsyncDisposable[]): Promise<void> {
  for (const one of released) await one[Symbol.asyncDispose]();
  const status = await successors.ended();
  process.once("exit", () => {
    process.exitCode = status;
  });
}

async function configOf(
  path: string | undefined,
): Promise<{ config: NodeConfigInput; warnings: readonly string[] }> {
  return path === undefined ? { config: {}, warnings: [] } : await readConfigFile(path);
}
