/** A control group around a test and all that it starts, so that nothing that runs in it can harm the host. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type CgroupMount, readCgroupMounts } from "@nexengine/machines/internal";

const memoryBytesMax = 2 ** 31;
const processesMax = 1_024;
const cpuPeriodUs = 100_000;
/** Two processors. */
const cpuQuotaUs = 200_000;
const namePrefix = "nex-hostile-";
const removeMsMax = 5_000;
const removePollMs = 20;

/** Values written into the group's files, by the controller that has them. */
const limits: Record<string, Record<1 | 2, Record<string, string>>> = {
  memory: {
    1: { "memory.limit_in_bytes": String(memoryBytesMax) },
    2: { "memory.max": String(memoryBytesMax) },
  },
  pids: { 1: { "pids.max": String(processesMax) }, 2: { "pids.max": String(processesMax) } },
  cpu: {
    1: { "cpu.cfs_period_us": String(cpuPeriodUs), "cpu.cfs_quota_us": String(cpuQuotaUs) },
    2: { "cpu.max": `${cpuQuotaUs} ${cpuPeriodUs}` },
  },
};

/** The group of this process, and in it one for the process itself: groups with limits below them hold none. */
export class OuterCgroup implements AsyncDisposable {
  readonly name = `${namePrefix}${process.pid}`;
  readonly #mounts: readonly CgroupMount[];
  /** Where this process was before, in each hierarchy. */
  readonly #previous: ReadonlyMap<CgroupMount, string>;
  readonly #leave = (): void => void this.#left();

  /** Goes in. */
  constructor() {
    removeAbandoned();
    this.#mounts = readCgroupMounts().filter(({ controllers }) => controllers.size > 0);
    this.#previous = new Map(this.#mounts.map((mount) => [mount, ownGroup(mount)]));
    process.once("exit", this.#leave);
    for (const mount of this.#mounts) this.#enter(mount);
  }

  #enter(mount: CgroupMount): void {
    const bounds = [...mount.controllers].filter((controller) => controller in limits);
    if (bounds.length === 0) return;
    const group = join(mount.directory, this.name);
    const own = join(group, "test");
    mkdirSync(group);
    if (mount.version === 2) {
      const enabled = bounds.map((controller) => `+${controller}`).join(" ");
      writeFileSync(join(mount.directory, "cgroup.subtree_control"), enabled);
      writeFileSync(join(group, "cgroup.subtree_control"), enabled);
    }
    for (const controller of bounds) {
      for (const [file, value] of Object.entries(limits[controller]?.[mount.version] ?? {})) {
        writeFileSync(join(group, file), value);
      }
    }
    mkdirSync(own);
    writeFileSync(join(own, "cgroup.procs"), String(process.pid));
  }

  /** The names of the groups of machines in it, in any hierarchy. */
  machines(): string[] {
    const names = this.#mounts.flatMap(({ directory }) => {
      const group = join(directory, this.name);
      const nodes = groupsIn(group).filter((name) => name !== "test");
      return nodes.flatMap((node) => groupsIn(join(group, node)));
    });
    return [...new Set(names)].sort();
  }

  /** The pids of all that runs in it beside machines. */
  pids(): number[] {
    const pids = this.#mounts.flatMap(({ directory }) => pidsIn(join(directory, this.name, "test")));
    return [...new Set(pids)];
  }

  /** Goes back to where this process was, and removes the group, as far as nothing runs in it. */
  #left(): boolean {
    const left = [...this.#previous].map(([mount, group]) => {
      try {
        writeFileSync(join(mount.directory, group, "cgroup.procs"), String(process.pid));
      } catch {}
      return removeGroups(join(mount.directory, this.name));
    });
    return left.every((gone) => gone);
  }

  /** Waits for what has just been ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    const deadline = performance.now() + removeMsMax;
    while (!this.#left() && performance.now() < deadline) await delay(removePollMs);
    process.off("exit", this.#leave);
  }
}

function ownGroup({ version, controllers }: CgroupMount): string {
  const lines = readFileSync("/proc/self/cgroup", "utf8").trim().split("\n");
  for (const line of lines) {
    const [, names = "", path = "/"] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    const fits = version === 2 ? names === "" : names.split(",").some((name) => controllers.has(name));
    if (fits) return path;
  }
  return "/";
}

function groupsIn(path: string): string[] {
  if (!existsSync(path)) return [];
  return readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name);
}

function pidsIn(path: string): number[] {
  try {
    const listed = readFileSync(join(path, "cgroup.procs"), "utf8");
    return listed.trim().split("\n").map(Number);
  } catch {
    return [];
  }
}

/** Removes the deepest groups first. @returns whether all are gone. */
function removeGroups(path: string): boolean {
  for (const name of groupsIn(path)) removeGroups(join(path, name));
  try {
    rmdirSync(path);
  } catch {}
  return !existsSync(path);
}

/** A test that was killed has left its groups. */
function removeAbandoned(): void {
  for (const { directory } of readCgroupMounts()) {
    for (const name of groupsIn(directory)) {
      if (!name.startsWith(namePrefix) || existsSync(`/proc/${name.slice(namePrefix.length)}`)) continue;
      removeGroups(join(directory, name));
    }
  }
}
