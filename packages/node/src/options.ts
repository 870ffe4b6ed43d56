/** What a node is started with. */
import type { Driver } from "@nexengine/machines";
import type { NatsLogin } from "@nexengine/protocol";
import type { Limits } from "@nexengine/protocol/internal";
import type { Logger } from "pino";
import { completeConfig, type NodeConfig, type NodeConfigInput } from "./config/config.ts";
import type { DriverSource } from "./sandbox/choose.ts";

/** Limits of time and size that are the node's own; units stand last. */
export interface NodeTuning {
  /** A function's call may run so long. */
  callTimeMs: number;
  /** After the time limit an agent has so long to show that it lives. */
  deadlineGraceMs: number;
  /** A call waits so long for its turn. */
  callQueueTimeMs: number;
  /** So many calls of one function may wait. */
  callQueueMax: number;
  /** Calls of a module's function overlap up to here unless the deploy says otherwise. */
  functionConcurrency: number;
  /** A deploy waits so long for a ready machine. */
  machineWaitMs: number;
  /** An agent has so long to accept a workload. */
  deployTimeMs: number;
  /** An artifact has so long to arrive. */
  artifactTimeMs: number;
  /** Artifacts over this are refused, whatever `node_limits` says. */
  artifactBytesMax: number;
  /** The source of a JavaScript function. */
  sourceBytesMax: number;
  /** A service has so long to end after SIGINT. */
  stopGraceMs: number;
  /** Started calls have so long to end when their function is stopped. */
  callDrainMs: number;
  heartbeatMs: number;
  /** Log bytes of one workload a second; the rest is dropped, and counted. */
  logBytesPerSecondMax: number;
  /** A connection that is not the node's own has so long to be there. */
  connectTimeMs: number;
  /** So many connections of requests' own are open at once. */
  requestConnectionsMax: number;
  /** Maximum number of concurrent boots. */
  bootsMax: number;
  /** Bytes that the node's connection may have taken and not sent before events and logs are dropped. */
  feedUnsentBytesMax: number;
  /** Size of the lists in an answer, so that every answer fits into a message. */
  answerListBytesMax: number;
  /** A machine whose node stays away ends after this time, where it can outlive it at all. */
  nodeLostTimeoutMs: number;
}

/** What a workload gets that nobody has said anything of. */
export const defaultLimits: Limits = {
  vcpus: 1,
  memory_bytes: 536_870_912,
  disk_bytes: 268_435_456,
  processes: 256,
};

/** What the configuration has no key for. */
export const defaultTuning: Omit<NodeTuning, "sourceBytesMax" | "callQueueMax"> = {
  callTimeMs: 5_000,
  deadlineGraceMs: 20,
  callQueueTimeMs: 30_000,
  functionConcurrency: 64,
  machineWaitMs: 10_000,
  deployTimeMs: 20_000,
  artifactTimeMs: 120_000,
  artifactBytesMax: 1_073_741_824,
  stopGraceMs: 1_500,
  callDrainMs: 1_000,
  heartbeatMs: 30_000,
  logBytesPerSecondMax: 1_048_576,
  connectTimeMs: 5_000,
  requestConnectionsMax: 256,
  bootsMax: 4,
  feedUnsentBytesMax: 8_388_608,
  // Half of what a NATS server takes unless it is configured otherwise.
  answerListBytesMax: 524_288,
  nodeLostTimeoutMs: 60_000,
};

/** What a node is started with, as given. */
export interface NodeOptions {
  /** Where to log in; `nats://127.0.0.1:4222` when absent. */
  login?: NatsLogin;
  /** Name of the pool, for people. */
  nexus?: string;
  config?: NodeConfigInput;
  /** What makes the machines, or where that comes from. */
  driver: Driver | DriverSource;
  /** The state directory; a fresh one below the system's, which goes with the node, when absent. */
  directory?: string;
  /** Without `directory`: where numbered state directories are, of which the node takes the first that is free. */
  nodesDirectory?: string;
  log?: Logger;
  tuning?: Partial<NodeTuning>;
  /** The version that the node shows. */
  version?: string;
}

/** What a node is started with, complete. */
export interface CompleteNodeOptions {
  login: NatsLogin;
  nexus: string;
  config: NodeConfig;
  driver: Driver | DriverSource;
  directory: string | undefined;
  nodesDirectory: string | undefined;
  log: Logger;
  tuning: NodeTuning;
  version: string;
}

/** @throws NexError `config_invalid` */
export function completeOptions(options: NodeOptions, silent: Logger): CompleteNodeOptions {
  const config = completeConfig(options.config ?? {});
  return {
    login: options.login ?? {},
    nexus: options.nexus ?? "nexus",
    config,
    driver: options.driver,
    directory: options.directory ?? config.state_directory,
    nodesDirectory: options.nodesDirectory,
    log: options.log ?? silent,
    tuning: {
      ...defaultTuning,
      sourceBytesMax: config.functions.max_source_bytes,
      callQueueMax: config.functions.max_queued_calls,
      ...options.tuning,
    },
    version: options.version ?? "development",
  };
}
