import type { DeployFacts } from "../admission/admit-deploy.ts";
import type { LameDuckFacts } from "../admission/admit-lame-duck.ts";
import type { UsedTokens } from "../state/used-tokens.ts";
import type { RecentLine } from "../telemetry/recent-lines.ts";
import type { Reporter } from "../telemetry/reporter.ts";
import type { Drain } from "../workloads/drain.ts";
import type { GrantedLimits } from "../workloads/spec.ts";
import type { Workloads } from "../workloads/workloads.ts";
import type { NodeInfo } from "./info.ts";
import type { WaitingWorkloads } from "./waiting-workloads.ts";

/** Parts of the node that request handlers use. */
export interface ActionContext {
  info: NodeInfo;
  workloads: Workloads;
  /** Workloads of an earlier node that can't run yet. */
  waiting: WaitingWorkloads;
  drain: Drain;
  reporter: Reporter;
  usedTokens: UsedTokens;
  /** The node's facts at this moment, for a deploy into a namespace; those of the node alone without one. */
  deployFacts(namespace: string | undefined): DeployFacts;
  lameDuckFacts(): LameDuckFacts;
  /** Whether a ready machine fits a workload with these limits in this namespace. */
  fitsReadyMachine(granted: GrantedLimits, namespace: string | undefined): boolean;
  /** The latest log lines of a workload, the latest last. */
  recentLines(workloadId: string, count: number): RecentLine[];
}
