/** Options for starting a node. */
import type { Driver } from "@nexengine/machines";
import type { NatsLogin } from "@nexengine/protocol";
import type { Limits } from "@nexengine/protocol/messages";
import type { Logger } from "pino";
import { completeConfig, type NodeConfig, type NodeConfigInput } from "./config/config.ts";
import type { Predecessor } from "./hand-over/predecessor.ts";
import type { DriverSource } from "./sandbox/choose.ts";

/** Timeouts and size limits of a node. The unit stands last in each name. */
export interface NodeTuning {
  /** Time limit of a call. */
  callTimeMs: number;
  /** After the time limit of a call: timeout of the ping to its agent. */
  deadlineGraceMs: number;
  /** Maximum time that a call waits to start. */
  callQueueTimeMs: number;
  /** Maximum number of waiting calls of one function. */
  callQueueMax: number;
  /** Maximum number of overlapping calls of a module, unless the deploy says otherwise. */
  functionConcurrency: number;
  /** Maximum time that a deploy waits for a ready machine. */
  machineWaitMs: number;
  /** Timeout for an agent to accept a workload. */
  deployTimeMs: number;
  /** Timeout for reading an artifact. */
  artifactTimeMs: number;
  /** Maximum size of an artifact, whatever `node_limits` says. */
  artifactBytesMax: number;
  /** Maximum size of the source of a JavaScript function. */
  sourceBytesMax: number;
  /** Grace period of a service after SIGINT. */
  stopGraceMs: number;
  /** Time that started calls have to finish when their function is stopped. */
  callDrainMs: number;
  /** Time that all calls of a function have to finish when its node is handed over to another process. */
  handOverDrainMs: number;
  heartbeatMs: number;
  /** Maximum log bytes of one workload per second. The rest is dropped and counted. */
  logBytesPerSecondMax: number;
  /** Timeout for opening a connection other than the node's own. */
  connectTimeMs: number;
  /** Maximum number of open per-request connections. */
  requestConnectionsMax: number;
  /** Maximum number of concurrent boots. */
  bootsMax: number;
  /** Maximum unsent bytes on the node's connection. Above it, events and logs are dropped. */
  feedUnsentBytesMax: number;
  /** Maximum size of the lists in an answer, so that every answer fits into a message. */
  answerListBytesMax: number;
  /** Time after which a machine ends itself when its node is gone, if its driver supports that. */
  nodeLostTimeoutMs: number;
  /** Interval at which a copy announces its HTTP routes. */
  routesAnnounceMs: number;
  /** Time after which a copy that does not announce its HTTP routes is forgotten. */
  routesSilentMs: number;
}

/** Limits of a workload that asks for none. */
export const defaultLimits: Limits = {
  vcpus: 1,
  memory_bytes: 536_870_912,
  disk_bytes: 268_435_456,
  processes: 256,
};

/** Tuning that has no key in the configuration. */
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
  handOverDrainMs: 30_000,
  heartbeatMs: 30_000,
  logBytesPerSecondMax: 1_048_576,
  connectTimeMs: 5_000,
  requestConnectionsMax: 256,
  bootsMax: 4,
  feedUnsentBytesMax: 8_388_608,
  // Half of a NATS server's default maximum payload.
  answerListBytesMax: 524_288,
  nodeLostTimeoutMs: 60_000,
  routesAnnounceMs: 10_000,
  routesSilentMs: 30_000,
};

/** Options for starting a node, as given. */
export interface NodeOptions {
  /** NATS login; `nats://127.0.0.1:4222` when absent. */
  login?: NatsLogin;
  /** Name of the pool, shown to people. */
  nexus?: string;
  config?: NodeConfigInput;
  /** The driver that makes machines, or a source that chooses one. */
  driver: Driver | DriverSource;
  /** The state directory. When absent, a temporary one that is removed with the node. */
  directory?: string;
  /**
   * Whether workloads end with this node. Otherwise accepted deploys are recorded in the state directory, and the next
   * node in it continues them. A temporary directory records nothing.
   */
  ephemeral?: boolean;
  /**
   * File with the identity that the node takes into a state directory without one: a copy of the file `identity.json` of
   * the directory that was lost.
   */
  identityFile?: string;
  /** Parent of numbered state directories, used without `directory`: the node takes the first free one. */
  nodesDirectory?: string;
  log?: Logger;
  tuning?: Partial<NodeTuning>;
  /** Version that the node shows. */
  version?: string;
  /** A running node whose work and state directory this one takes over. */
  predecessor?: Predecessor;
}

/** Options for starting a node, complete. */
export interface CompleteNodeOptions {
  login: NatsLogin;
  nexus: string;
  config: NodeConfig;
  driver: Driver | DriverSource;
  directory: string | undefined;
  identityFile: string | undefined;
  nodesDirectory: string | undefined;
  ephemeral: boolean;
  log: Logger;
  tuning: NodeTuning;
  version: string;
  predecessor: Predecessor | undefined;
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
    identityFile: options.identityFile,
    nodesDirectory: options.nodesDirectory,
    ephemeral: options.ephemeral ?? false,
    log: options.log ?? silent,
    tuning: {
      ...defaultTuning,
      sourceBytesMax: config.functions.max_source_bytes,
      callQueueMax: config.functions.max_queued_calls,
      ...options.tuning,
    },
    version: options.version ?? "development",
    predecessor: options.predecessor,
  };
}
