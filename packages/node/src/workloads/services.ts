/** What a workload needs of its node. */
import type { NatsConnection } from "@nats-io/nats-core";
import type { Logger } from "pino";
import type { RelayPlan } from "../agent-client/relay-plan.ts";
import type { Artifacts } from "../artifacts/artifacts.ts";
import type { Events } from "../feeds/events.ts";
import type { Logs } from "../feeds/logs.ts";
import type { NodeTuning } from "../options.ts";
import type { Pool } from "../pool/pool.ts";

export interface WorkloadServices {
  /** Where triggers are subscribed. */
  connection: NatsConnection;
  artifacts: Artifacts;
  pool: Pool;
  events: Events;
  logs: Logs;
  log: Logger;
  tuning: NodeTuning;
  /** How machines find the node's NATS servers. */
  relay: RelayPlan;
  /** Where published ports listen. */
  publishAddress: string;
  /** Larger artifacts are refused. */
  artifactBytesMax: number;
}
