import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { Cgroup } from "../host/cgroup.ts";
import { readCgroupMounts } from "../host/cgroup-mounts.ts";
import { contractImageIn } from "../microvm/contract-image.ts";
import { FirecrackerDriver } from "./driver.ts";
import { jailsDirectory } from "./layout.ts";
import type { FirecrackerDriverOptions } from "./options.ts";

/** Where the suite finds an image of the test guest, Firecracker and the jailer: on a host where KVM works. */
export const contractDirectoryVariable = "NEX_CONTRACT_FIRECRACKER";

const cgroupParent = "nex-contract";

/** The driver as the contract suite boots it: the test guest in an image. */
export function makeDriver(change: Partial<FirecrackerDriverOptions> = {}): FirecrackerDriver {
  return new FirecrackerDriver({ ...contractOptions(), ...change });
}

/** What that driver is told. */
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

/** What runs of machines, and of one whose directory is gone its jail too. Those of templates come and go. */
export function orphansOf(machineDirectory: string): string[] {
  const directory = process.env[contractDirectoryVariable] ?? "";
  const jails = jailsDirectory(join(directory, "state"));
  const ids = existsSync(jails) ? readdirSync(jails).filter((id) => !id.startsWith("template")) : [];
  if (!existsSync(machineDirectory)) return ids;
  const mounts = readCgroupMounts();
  return ids.filter((id) => new Cgroup(mounts, cgroupParent, id).pids().length > 0);
}
