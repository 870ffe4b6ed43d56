/** Chooses the sandbox for a node of the command line, and the directory for its state. */

import type { TokenBucket } from "@nexengine/machines";
import {
  type DriverSource,
  defaultNodesDirectory,
  driverSource,
  type FirecrackerFiles,
  type NodeConfigInput,
  type NodeOptions,
  type QemuFiles,
  type SandboxChoice,
  type SandboxProbe,
} from "@nexengine/node/internal";
import { NexError } from "@nexengine/protocol/errors";
import { type Command, Option } from "commander";
import { agentPath } from "./daemon.ts";

/** The options as commander gives them. */
export interface SandboxOptions {
  sandbox?: SandboxChoice;
  stateDirectory?: string;
}

const choices: readonly SandboxChoice[] = ["auto", "firecracker", "qemu", "container", "process"];

/** Adds the options to a command that starts a node. */
export function addSandboxOptions(command: Command): Command {
  return command
    .addOption(new Option("--sandbox <kind>", "what keeps workloads apart").choices(choices))
    .option(
      "--state-directory <dir>",
      "where the node keeps its state; a free one in ~/.nex/nodes otherwise",
    );
}

/**
 * The sandbox of a node: the option, else the configuration, else the strongest that works.
 *
 * @throws NexError `config_invalid` when the two contradict each other.
 */
export function sandboxOf(options: SandboxOptions, config: NodeConfigInput): SandboxChoice {
  const configured = config.no_sandbox === true ? "process" : config.sandbox;
  const asked = options.sandbox ?? configured ?? "auto";
  if (config.no_sandbox === true && asked !== "process") {
    throw new NexError(
      "config_invalid",
      `Cannot start a node: no_sandbox and sandbox "${asked}" contradict each other`,
      { advice: 'Take "no_sandbox" out of the configuration' },
    );
  }
  return asked;
}

/** Where the driver of a node comes from. */
export function driverOf(
  sandbox: SandboxChoice,
  config: NodeConfigInput,
  choice: { processAsLast?: boolean; onProbe: (probe: SandboxProbe) => void },
): DriverSource {
  return driverSource({ sandbox, files: driverFiles(config), ...choice });
}

/** The files that machines are made from. */
export function driverFiles({
  container,
  qemu,
  firecracker,
  rate_limiters: rateLimiters,
}: NodeConfigInput): Parameters<typeof driverSource>[0]["files"] {
  return {
    agentPath: agentPath(),
    ...(container?.runtime === undefined ? {} : { runtime: container.runtime }),
    ...(qemu == null ? {} : { qemu: qemuFiles(qemu) }),
    firecracker: firecrackerFiles(firecracker ?? {}, rateLimiters ?? {}),
    ...(container?.rootfs_directory === undefined ? {} : { rootfsDirectory: container.rootfs_directory }),
  };
}

function qemuFiles({ accel, ...files }: NonNullable<NodeConfigInput["qemu"]>): QemuFiles {
  return { ...withoutAbsent(files), ...(accel === undefined ? {} : { accelerator: accel }) };
}

function firecrackerFiles(
  files: NonNullable<NodeConfigInput["firecracker"]>,
  { bandwidth, iops }: NonNullable<NodeConfigInput["rate_limiters"]>,
): FirecrackerFiles {
  return {
    ...withoutAbsent(files),
    rateLimiters: {
      ...(bandwidth === undefined ? {} : { bandwidth: tokenBucket(bandwidth) }),
      ...(iops === undefined ? {} : { operations: tokenBucket(iops) }),
    },
  };
}

function tokenBucket(told: {
  size: number;
  refill_time: number;
  one_time_burst?: number | undefined;
}): TokenBucket {
  const { size, refill_time: refillTimeMs, one_time_burst: oneTimeBurst } = told;
  return { size, refillTimeMs, ...(oneTimeBurst === undefined ? {} : { oneTimeBurst }) };
}

function withoutAbsent<Key extends string, Value>(
  told: Readonly<Partial<Record<Key, Value | undefined>>>,
): Partial<Record<Key, Value>> {
  const present = Object.entries(told).filter(([, value]) => value !== undefined);
  return Object.fromEntries(present) as Partial<Record<Key, Value>>;
}

/** Where a node keeps its state. */
export function stateOf(options: SandboxOptions): Pick<NodeOptions, "directory" | "nodesDirectory"> {
  return options.stateDirectory === undefined
    ? { nodesDirectory: defaultNodesDirectory() }
    : { directory: options.stateDirectory };
}

/** Why a kind does not work, as short as it can be said. */
export function shortReason({ kind, found }: SandboxProbe): string {
  return found.available ? kind : `${kind}: ${found.reason.split(/[,;]/)[0]}`;
}

/** A probe in a line, for people. */
export function probeLine({ kind, found }: SandboxProbe): string {
  if (!found.available) return `${kind}: ${found.reason}`;
  const details = Object.entries(found.details).map(([name, value]) => `${name} ${value}`);
  return [kind, ...details].join(", ");
}
