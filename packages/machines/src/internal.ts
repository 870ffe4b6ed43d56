/**
 * The wider door, for the other packages of this workspace and their tests.
 *
 * @module
 */
export { type CgroupMount, readCgroupMounts, withController } from "./container/cgroup-mounts.ts";
export type { DriverAbilities } from "./contract/abilities.ts";
export { MockDriver, type MockDriverOptions } from "./mock/driver.ts";
export { MockGuest } from "./mock/guest.ts";
export { MockMachine } from "./mock/machine.ts";
export type { MockBoot, MockScript } from "./mock/script.ts";
export * from "./mod.ts";

/**
 * Loads the contract suite that every driver passes. On demand, because the suite imports `node:test`, and a program
 * that wants the mock does not.
 */
export async function loadDriverContract(): Promise<typeof import("./contract/contract.ts")> {
  return await import("./contract/contract.ts");
}
