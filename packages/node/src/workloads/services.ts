/** Parts of the node that workloads use. */
import type { RelayPlan } from "../agent-client/relay-plan.ts";
import type { Artifacts } from "../artifacts/artifacts.ts";
import type { Connections } from "../connections/connections.ts";
import type { FunctionServices } from "../functions/function-runtime.ts";
import type { Pool } from "../machines/pool.ts";
import type { RecentLine } from "../telemetry/recent-lines.ts";
import type { RecordedDeploys } from "./recorded-deploys.ts";

export interface WorkloadServices extends FunctionServices {
  /** Connections of workloads. */
  connections: Connections;
  artifacts: Artifacts;
  pool: Pool;
  recorded: RecordedDeploys;
  /** The latest log lines of a workload, the latest last. */
  recentLines(workloadId: string, count: number): RecentLine[];
  /** How machines of a namespace reach its NATS servers. */
  relayOf(namespace: string): RelayPlan;
  /** Address on which published ports listen. */
  publishAddress: string;
}
