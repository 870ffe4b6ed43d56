/** A workload that another node has run before. */
import type { MachineRecord } from "@nexengine/machines";
import type { Published } from "@nexengine/protocol/messages";
import type { ArtifactDigest } from "../artifacts/artifacts.ts";

/** Earlier life of a restored workload. */
export interface WorkloadHistory {
  /** Time of its admission. */
  startedAtMs?: number;
  restarts?: number;
  /** Names of its paused triggers. */
  paused?: readonly string[];
}

/** Facts of a deploy's record, beyond its request. */
export interface RestoredFacts {
  artifact: ArtifactDigest;
  published: readonly Published[];
}

/** The node that has run a restored workload before. */
export interface PreviousHolder {
  /** Whether it still runs the workload: then nothing may be missing while it changes hands. */
  readonly isRunning: boolean;
  /** Whether there are machines that can be adopted. */
  readonly hasMachines: boolean;
  /** Has it let go of the workload. @returns records of the machines that may still run it */
  release(): Promise<readonly MachineRecord[]>;
}
