/** What a workload is made from. */
import type { Claims, Environment, Globals, WorkloadType } from "@nexengine/protocol/internal";

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
  triggerSubjects: string[];
  bucket: string;
  key: string;
  jsDomain?: string;
  /** Lower-case hex, when the token names it. */
  sha256?: string;
  essential: boolean;
  globals?: Globals;
  concurrency: number;
}
