/** What a workload needs of its node. */
import type { Logger } from "pino";
import type { RelayPlan } from "../agent-client/relay-plan.ts";
import type { Artifacts } from "../artifacts/artifacts.ts";
import type { Connections } from "../connections/connections.ts";
import type { FunctionServices } from "../functions/function-runtime.ts";
import type { Pool } from "../machines/pool.ts";

export interface WorkloadServices extends FunctionServices {
  /** What each workload acts through. */
  connections: Connections;
  artifacts: Artifacts;
  pool: Pool;
  log: Logger;
  /** How the machines of a namespace find its NATS servers. */
  relayOf(namespace: string): RelayPlan;
  /** Where published ports listen. */
  publishAddress: string;
}
