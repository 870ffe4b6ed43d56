import type { MachineSpec } from "../driver.ts";
import { type CgroupMount, withController } from "../host/cgroup-mounts.ts";
import { memoryBytesOf } from "../microvm/config-disk.ts";
import type { MicroVmSettings } from "../microvm/settings.ts";

const cpuPeriodUs = 100_000;
/** What Firecracker takes beside the memory of its guest. */
const monitorBytes = 67_108_864;
/** Its threads: one each for the control socket, the devices, and the processors. */
const monitorThreads = 4;

/**
 * What the jailer is told about the control groups of a machine: the bounds of its monitor as a process of the host.
 *
 * @param isTemplate It writes its memory to a file, which may be in memory too.
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
