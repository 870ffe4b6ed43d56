/** What a workload is made from. */
import type { MachineLimits } from "@nexengine/machines";
import type {
  Claims,
  Environment,
  Globals,
  Network,
  PublishedPort,
  Restart,
  WorkloadType,
} from "@nexengine/protocol/internal";
import type { OwnConnection } from "../connections/own-connection.ts";
import type { TriggerSpec } from "../functions/triggers/trigger.ts";

/** The limits that a workload runs with. */
export interface GrantedLimits {
  /** Those that the driver holds. */
  machine: MachineLimits;
  network: Network;
  egressAllow: readonly string[];
  publish: readonly PublishedPort[];
  /** The node's own when absent. */
  logBytesPerSecond: number | undefined;
  /** The node's own when absent. */
  callTimeMs: number | undefined;
}

/** What was asked for and admitted. */
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
  /** Those that the request brought along. */
  ownConnections: readonly OwnConnection[];
  bucket: string;
  key: string;
  jsDomain?: string;
  /** Lower-case hex, when the token names it. */
  sha256?: string;
  essential: boolean;
  /** Wins over `essential`. */
  restart?: Restart;
  globals?: Globals;
  concurrency: number;
  /** How many machines it has. */
  replicas: number;
  limits: GrantedLimits;
  /** A larger artifact is refused. */
  artifactBytesMax: number;
  /** Of all artifacts of the namespace; 0 is no limit. */
  namespaceBytesMax: number;
  /** Id of the workload that ends once this one runs. */
  replaces?: string;
}
