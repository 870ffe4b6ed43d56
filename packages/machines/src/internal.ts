/**
 * Internal entry point for the other packages of this workspace and their tests.
 *
 * @module
 */

export type { DriverAbilities } from "./contract/abilities.ts";
export { type CgroupMount, readCgroupMounts, withController } from "./host/cgroup-mounts.ts";
export { contractImageIn, packContractImage } from "./microvm/contract-image.ts";
export { MockDriver, type MockDriverOptions } from "./mock/driver.ts";
export { MockGuest } from "./mock/guest.ts";
export { MockMachine } from "./mock/machine.ts";
export type { MockBoot, MockScript } from "./mock/script.ts";
export * from "./mod.ts";
export { type CpioEntry, cpioArchive } from "./rootfs/cpio.ts";
export { findKernel, type Kernel } from "./rootfs/kernel.ts";
export { findLibraries } from "./rootfs/libraries.ts";
export { unpackPackage } from "./rootfs/packages.ts";

/**
 * Loads the contract suite for drivers. The import is lazy because the suite loads `node:test`, which programs that
 * only use the mock driver must not load.
 */
export async function loadDriverContract(): Promise<typeof import("./contract/contract.ts")> {
  return await import("./contract/contract.ts");
}
