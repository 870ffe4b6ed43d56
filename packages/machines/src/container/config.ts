/** Writes the OCI configuration of a container. */
import type { MachineLimits, MachineSpec } from "../driver.ts";
import { guestId, idsPerMachine } from "../host/ids.ts";
import { guestChannels, type Layout } from "./layout.ts";
import { guestMounts, maskedPaths, readonlyPaths } from "./mounts.ts";
import type { ContainerDriverSettings } from "./options.ts";
import { seccompProfile } from "./seccomp.ts";

/** CFS bandwidth period, in µs. */
export const cpuPeriodUs = 100_000;
const cpuQuotaUsMin = 1_000;
const openFilesMax = 65_536;
/** OOM score: the OOM killer prefers machines over other processes of the host. */
const oomScoreAdj = 500;

/** Host facts that a bundle depends on, in addition to the spec. */
export interface BundleFacts {
  settings: ContainerDriverSettings;
  layout: Layout;
  /** First host id of the machine's range. */
  hostIdFirst: number;
  /** Open-file limit of this process. */
  openFilesLimit: number;
  /** Whether the kernel accounts for swap. */
  countsSwap: boolean;
  /** Whether the kernel has cgroup namespaces. */
  cgroupNamespace: boolean;
}

/** Path of a machine's root file system. */
export function rootOf({ root }: MachineSpec, { rootfs }: ContainerDriverSettings): string {
  return root?.path ?? rootfs;
}

/** Builds the `config.json` of a machine's bundle (OCI runtime specification 1.0.2). */
export function bundleConfig(spec: MachineSpec, facts: BundleFacts): object {
  const { settings, layout, hostIdFirst } = facts;
  const [program, ...args] = settings.command;
  const openFiles = Math.min(openFilesMax, facts.openFilesLimit);
  const ids = [{ containerID: 0, hostID: hostIdFirst, size: idsPerMachine }];
  const namespaces = ["pid", "mount", "ipc", "uts", "network", "user"];
  if (facts.cgroupNamespace) namespaces.push("cgroup");
  return {
    ociVersion: "1.0.2",
    process: {
      terminal: false,
      user: { uid: guestId, gid: guestId },
      args: [
        program,
        ...settings.limitArguments(spec.limits),
        ...args,
        `--channels=connect:${guestChannels}`,
      ],
      env: [`NEX_NODE_LOST_TIMEOUT_MS=${spec.nodeLostTimeoutMs}`],
      cwd: "/work",
      capabilities: { bounding: [], effective: [], permitted: [], inheritable: [], ambient: [] },
      rlimits: [
        { type: "RLIMIT_NOFILE", soft: openFiles, hard: openFiles },
        { type: "RLIMIT_CORE", soft: 0, hard: 0 },
      ],
      noNewPrivileges: true,
      oomScoreAdj,
    },
    root: { path: rootOf(spec, settings), readonly: true },
    hostname: "nex",
    mounts: guestMounts(spec.limits.diskBytes, shownOf(spec, layout)),
    linux: {
      cgroupsPath: `/${settings.cgroupParent}/${spec.id}`,
      uidMappings: ids,
      gidMappings: ids,
      namespaces: namespaces.map((type) => ({ type })),
      // Lets a relay listen on the port of the server that it stands in for, even below 1024.
      sysctl: { "net.ipv4.ip_unprivileged_port_start": "0" },
      resources: resources(spec.limits, facts.countsSwap),
      seccomp: seccompProfile(),
      maskedPaths,
      readonlyPaths,
    },
  };
}

function shownOf({ hosts = [] }: MachineSpec, layout: Layout): Parameters<typeof guestMounts>[1] {
  return hosts.length === 0 ? { channels: layout.channels } : layout;
}

function resources(limits: MachineLimits, countsSwap: boolean): object {
  const { memoryBytes, vcpus, processes } = limits;
  return {
    devices: [{ allow: false, access: "rwm" }],
    ...(memoryBytes !== undefined && {
      memory: { limit: memoryBytes, ...(countsSwap && { swap: memoryBytes }) },
    }),
    ...(vcpus !== undefined && {
      cpu: { period: cpuPeriodUs, quota: Math.max(Math.round(vcpus * cpuPeriodUs), cpuQuotaUsMin) },
    }),
    ...(processes !== undefined && { pids: { limit: processes } }),
  };
}
