/** Explains why this host can't run containers without root. */
import { existsSync, readFileSync } from "node:fs";
import { userInfo } from "node:os";
import { readCgroupMounts, withController } from "../host/cgroup-mounts.ts";
import { idsPerMachine } from "../host/ids.ts";
import { findProgram } from "../host/program.ts";

const controllersNeeded = ["cpu", "memory", "pids"];

/** Host facts that decide whether unprivileged users can run containers. Defaults to this host. */
export interface RootlessHost {
  user: { uid: number; name: string };
  /** Reads a text file; `undefined` if it does not exist. */
  read(path: string): string | undefined;
  hasProgram(name: string): Promise<boolean>;
  /** Version of the cgroup hierarchy that has the memory controller; 0 if none. */
  cgroupVersion: 0 | 1 | 2;
  /** Mount point of cgroup version 2. */
  cgroupDirectory: string;
}

/**
 * Lists everything on a host that prevents rootless containers, each with its fix. The driver itself still requires
 * root.
 */
export async function findRootlessHindrances(host: RootlessHost = thisHost()): Promise<string[]> {
  return [...namespaces(host), ...(await idMappings(host)), ...controlGroups(host)];
}

function namespaces({ read }: RootlessHost): string[] {
  const switches = [
    ["/proc/sys/user/max_user_namespaces", "0", "sysctl user.max_user_namespaces=10000"],
    ["/proc/sys/kernel/unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"],
    [
      "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
      "1",
      "sysctl kernel.apparmor_restrict_unprivileged_userns=0",
    ],
  ] as const;
  return switches
    .filter(([path, off]) => read(path)?.trim() === off)
    .map(([path, , remedy]) => `${path} disables user namespaces for users (${remedy})`);
}

async function idMappings({ user, read, hasProgram }: RootlessHost): Promise<string[]> {
  const hindrances: string[] = [];
  for (const name of ["newuidmap", "newgidmap"]) {
    if (!(await hasProgram(name))) {
      hindrances.push(`the program "${name}" is not installed (apt-get install uidmap)`);
    }
  }
  for (const [path, option] of [
    ["/etc/subuid", "--add-subuids"],
    ["/etc/subgid", "--add-subgids"],
  ] as const) {
    if (idsGiven(read(path) ?? "", user) >= idsPerMachine) continue;
    const remedy = `usermod ${option} 1000000-1999999 ${user.name}`;
    hindrances.push(`${path} gives ${user.name} fewer than ${idsPerMachine} ids (${remedy})`);
  }
  return hindrances;
}

/** Counts the ids that a file of `user:first:count` lines assigns to a user. */
function idsGiven(text: string, { uid, name }: RootlessHost["user"]): number {
  return text
    .split("\n")
    .map((line) => line.split(":"))
    .filter(([who]) => who === name || who === String(uid))
    .reduce((sum, [, , count]) => sum + (Number(count) || 0), 0);
}

function controlGroups({ cgroupVersion, cgroupDirectory, read }: RootlessHost): string[] {
  if (cgroupVersion !== 2) {
    const remedy = "start the kernel with systemd.unified_cgroup_hierarchy=1";
    return [`cgroups version ${cgroupVersion} can't be delegated (${remedy})`];
  }
  const own = /^0::(.*)$/m.exec(read("/proc/self/cgroup") ?? "")?.[1] ?? "/";
  const given = (read(`${cgroupDirectory}${own}/cgroup.controllers`) ?? "").trim().split(/\s+/);
  const missing = controllersNeeded.filter((name) => !given.includes(name));
  const remedy = 'systemctl edit user@.service, with "[Service] Delegate=cpu memory pids"';
  return missing.length === 0
    ? []
    : [`the cgroup of this process has no ${missing.join(", ")} controller (${remedy})`];
}

function thisHost(): RootlessHost {
  const mounts = readCgroupMounts();
  return {
    user: thisUser(),
    read: (path) => {
      try {
        return existsSync(path) ? readFileSync(path, "utf8") : undefined;
      } catch {
        return undefined;
      }
    },
    hasProgram: async (program) => (await findProgram(program)) !== undefined,
    cgroupVersion: withController(mounts, "memory")?.version ?? 0,
    cgroupDirectory: mounts.find(({ version }) => version === 2)?.directory ?? "/sys/fs/cgroup",
  };
}

/** Uses the uid as name if the host does not know the user. */
function thisUser(): RootlessHost["user"] {
  try {
    const { uid, username: name } = userInfo();
    return { uid, name };
  } catch {
    const uid = process.getuid?.() ?? 0;
    return { uid, name: String(uid) };
  }
}
