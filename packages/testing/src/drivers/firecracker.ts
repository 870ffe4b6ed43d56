import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { FirecrackerDriverOptions } from "@nexengine/machines/internal";
import { Cgroup, FirecrackerDriver, jailsDirectory, readCgroupMounts } from "@nexengine/machines/internal";
import { contractImageIn } from "./microvm.ts";

/** This module, for programs that make the driver themselves. */
export const driverModule: URL = new URL(import.meta.url);

/** Variable with the directory of the test image, Firecracker and the jailer, on a host with KVM. */
export const contractDirectoryVariable = "NEX_CONTRACT_FIRECRACKER";

const cgroupParent = "nex-contract";

/** Creates the driver for the contract suite. The test guest is in an image. */
export function makeDriver(change: Partial<FirecrackerDriverOptions> = {}): FirecrackerDriver {
  return new FirecrackerDriver({ ...contractOptions(), ...change });
}

/** Options of that driver. */
export function contractOptions(): FirecrackerDriverOptions {
  const directory = process.env[contractDirectoryVariable] ?? "";
  return {
    ...contractImageIn(directory),
    stateDirectory: join(directory, "state"),
    idsDirectory: join(directory, "ids"),
    cgroupParent,
    program: join(directory, "firecracker"),
    jailer: join(directory, "jailer"),
    memoryBytesDefault: 268_435_456,
    apiTimeoutMs: 60_000,
    attachTimeoutMs: 180_000,
  };
}

/** Lists running processes of machines, and the jail of a machine whose directory is gone. Templates are ignored. */
export function orphansOf(machineDirectory: string): string[] {
  const directory = process.env[contractDirectoryVariable] ?? "";
  const jails = jailsDirectory(join(directory, "state"));
  const ids = existsSync(jails) ? readdirSync(jails).filter((id) => !id.startsWith("template")) : [];
  if (!existsSync(machineDirectory)) return ids;
  const mounts = readCgroupMounts();
  return ids.filter((id) => new Cgroup(mounts, cgroupParent, id).pids().length > 0);
}
