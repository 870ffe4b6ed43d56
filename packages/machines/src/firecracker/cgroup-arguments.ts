/** Arguments of the jailer that set the limits of a machine's cgroup. */
import type { MachineSpec } from "../driver.ts";
import { type CgroupMount, withController } from "../host/cgroup-mounts.ts";
import { memoryBytesOf } from "../microvm/config-disk.ts";
import type { MicroVmSettings } from "../microvm/settings.ts";

const cpuPeriodUs = 100_000;
/** Memory of Firecracker in addition to its guest's memory, in bytes. */
const monitorBytes = 67_108_864;
/** Threads of Firecracker in addition to one per CPU. */
const monitorThreads = 4;

/**
 * Jailer arguments for a machine's cgroups, which limit its monitor process on the host.
 *
 * @param isTemplate A template writes its memory to a file, which may itself be in memory.
 */
export function cgroupArguments(
  { limits, isTemplate = false }: Pick<MachineSpec, "limits"> & { isTemplate?: boolean },
  settings: MicroVmSettings & { cgroupParent: string },
  mounts: readonly CgroupMount[],
): string[] {
  const memory = withController(mounts, "memory");
  const version = memory?.version ?? 2;
  const vcpus = Math.max(Math.ceil(limits.vcpus ?? 1), 1);
  const quotaUs = Math.floor((limits.vcpus ?? vcpus) * cpuPeriodUs);
  const guestBytes = memoryBytesOf({ limits }, settings);
  const memoryBytes = guestBytes * (isTemplate ? 2 : 1) + monitorBytes;
  const values =
    version === 1
      ? {
          "memory.limit_in_bytes": memoryBytes,
          "cpu.cfs_period_us": cpuPeriodUs,
          "cpu.cfs_quota_us": quotaUs,
          "pids.max": vcpus + monitorThreads,
        }
      : {
          "memory.max": memoryBytes,
          "cpu.max": `${quotaUs} ${cpuPeriodUs}`,
          "pids.max": vcpus + monitorThreads,
        };
  const has = (file: string): boolean =>
    withController(mounts, file.split(".")[0] ?? "")?.version === version;
  const files = Object.entries(values).filter(([file]) => has(file));
  return [
    ...["--cgroup-version", String(version), "--parent-cgroup", settings.cgroupParent],
    ...files.flatMap(([file, value]) => ["--cgroup", `${file}=${value}`]),
  ];
}
