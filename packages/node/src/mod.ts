/** Start a Nex node. */

export type { NodeConfig, NodeConfigInput } from "./config/config.ts";
export type { HandOver } from "./hand-over/hand-over.ts";
export type { Predecessor } from "./hand-over/predecessor.ts";
export { startNode } from "./node.ts";
export type { NodeOptions, NodeTuning } from "./options.ts";
export type { NexNode } from "./running-node.ts";
export {
  type DriverSource,
  driverSource,
  type SandboxChoice,
  type SandboxProbe,
} from "./sandbox/choose.ts";
export type { DriverFiles } from "./sandbox/kinds.ts";
