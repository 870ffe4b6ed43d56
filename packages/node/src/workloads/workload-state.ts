/** The life of a workload. `workload.ts` changes it. */

/**
 * - `admitted`: the request was accepted, and the artifact is being read.
 * - `starting`: it starts on its first machine.
 * - `running`: it runs. The triggers of a function are active.
 * - `restarting`: its machine is gone, and it waits for another one.
 * - `draining`: it takes no more calls and is being stopped.
 * - `stopped`: it ran and has ended. Nothing of it is left.
 * - `failed`: it never ran. Nothing of it is left.
 */
export type WorkloadState =
  | "admitted"
  | "starting"
  | "running"
  | "restarting"
  | "draining"
  | "stopped"
  | "failed";
