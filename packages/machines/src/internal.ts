/**
 * Internal entry point for the other packages of this workspace and their tests.
 *
 * @module
 */

export {
  type ContainerDriverSettings,
  completeOptions as completeContainerOptions,
} from "./container/options.ts";
export { findUnmetRequirement as findUnmetContainerNeed } from "./container/requirements.ts";
export { jailsDirectory } from "./firecracker/layout.ts";
export { Cgroup } from "./host/cgroup.ts";
export { type CgroupMount, readCgroupMounts, withController } from "./host/cgroup-mounts.ts";
export { ConsoleTail } from "./host/console-tail.ts";
export { hasProcessTable } from "./host/process-table.ts";
export { ResidentProcessTree } from "./host/process-tree.ts";
export { findProgram } from "./host/program.ts";
export { removeTree } from "./host/remove-tree.ts";
export { runProgram } from "./host/run-program.ts";
export { holdsWithin, settlesWithin } from "./host/wait.ts";
export * from "./mod.ts";
export { Egress } from "./network/egress.ts";
export { linkName } from "./network/link.ts";
export { runTool } from "./network/tools.ts";
export { completeOptions as completeQemuOptions } from "./qemu/options.ts";
export { findUnmetRequirement as findUnmetQemuNeed } from "./qemu/requirements.ts";
export { type CpioEntry, cpioArchive } from "./rootfs/cpio.ts";
export { findKernel, type Kernel } from "./rootfs/kernel.ts";
export { findLibraries } from "./rootfs/libraries.ts";
export { unpackPackage } from "./rootfs/packages.ts";
export { bootInDirectory } from "./spec.ts";
