/** What a workload needs of its node. */
import type { Logger } from "pino";
import type { RelayPlan } from "../agent-client/relay-plan.ts";
import type { Artifacts } from "../artifacts/artifacts.ts";
import type { Budget } from "../budget/budget.ts";
import type { Connections } from "../connections/connections.ts";
import type { Events } from "../feeds/events.ts";
import type { Logs } from "../feeds/logs.ts";
import type { ReplyRules } from "../functions/triggers/reply-rules.ts";
import type { HostServiceConnections, HostServices } from "../host-services/host-services.ts";
import type { Owner } from "../host-services/service.ts";
import type { Pool } from "../machines/pool.ts";
import type { NodeTuning } from "../options.ts";

export interface WorkloadServices {
  /** What each workload acts through. */
  connections: Connections;
  artifacts: Artifacts;
  pool: Pool;
  budget: Budget;
  events: Events;
  logs: Logs;
  log: Logger;
  tuning: NodeTuning;
  /** How the machines of a namespace find its NATS servers. */
  relayOf(namespace: string): RelayPlan;
  /** To which subjects a namespace's functions may reply, on a connection of its own or on the node's. */
  replyRulesOf(namespace: string, isOwnConnection: boolean): ReplyRules;
  /** What a function may call in the node. */
  hostServicesOf(owner: Owner, connections: HostServiceConnections): HostServices;
  /** Where published ports listen. */
  publishAddress: string;
}
