/** The spec of a workload. */
import type { MachineLimits } from "@nexengine/machines";
import type { Globals } from "@nexengine/protocol/agent";
import {
  functionTypes,
  type Network,
  type PublishedPort,
  type Restart,
  type WorkloadType,
} from "@nexengine/protocol/messages";
import type { Claims, Environment } from "@nexengine/protocol/tokens";
import type { PerRequestConnection } from "../connections/per-request-connection.ts";
import type { TriggerSpec } from "../functions/triggers/trigger.ts";
import type { HealthSpec } from "./workload-health.ts";

/** The limits of a workload, as granted. */
export interface GrantedLimits {
  /** Limits that the driver enforces. */
  machine: MachineLimits;
  network: Network;
  egressAllow: readonly string[];
  publish: readonly PublishedPort[];
  /** The node's default when absent. */
  logBytesPerSecond: number | undefined;
  /** The node's default when absent. */
  callTimeMs: number | undefined;
}

/** A workload as it was admitted. */
export interface WorkloadSpec {
  namespace: string;
  name: string;
  issuer: string;
  claims: Claims;
  type: WorkloadType;
  description: string;
  argv: string[];
  environment: Environment;
  triggers: TriggerSpec[];
  /** Per-request connections. */
  perRequestConnections: readonly PerRequestConnection[];
  bucket: string;
  key: string;
  jsDomain?: string;
  /** Lower-case hex, if the token names it. */
  sha256?: string;
  essential: boolean;
  /** Takes precedence over `essential`. */
  restart?: Restart;
  globals?: Globals;
  concurrency: number;
  /** Number of machines. */
  replicas: number;
  limits: GrantedLimits;
  health?: HealthSpec;
  /** Maximum size of the artifact. */
  artifactBytesMax: number;
  /** Maximum size of all artifacts of the namespace; 0 is no limit. */
  namespaceBytesMax: number;
  /** Id of the workload that ends once this one runs. */
  replaces?: string;
  /** The request as it was received, for the record of the deploy. */
  request: Uint8Array;
  /** Digest of the configuration's entry that starts it. */
  autostart?: string;
}

/** Whether schedules start the workload, so that it has no machine between its runs. */
export function isJob({ type, triggers }: Pick<WorkloadSpec, "type" | "triggers">): boolean {
  return !functionTypes.has(type) && triggers.length > 0;
}
