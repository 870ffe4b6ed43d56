/** The cgroup of a machine, and how all its processes are killed. */
import { existsSync, readFileSync } from "node:fs";
import { rmdir } from "node:fs/promises";
import { join } from "node:path";
import type { MachineUsage } from "../driver.ts";
import { type CgroupMount, withController } from "./cgroup-mounts.ts";
import { holdsWithin } from "./wait.ts";

const removeTimeoutMs = 2_000;

/** The cgroup of a machine: one directory in each hierarchy. */
export class Cgroup {
  readonly #mounts: readonly CgroupMount[];
  readonly #name: string;

  constructor(mounts: readonly CgroupMount[], parent: string, id: string) {
    this.#mounts = mounts;
    this.#name = join(parent, id);
  }

  /** Reports whether the cgroup exists in any hierarchy. */
  exists(): boolean {
    return this.#directories().some(existsSync);
  }

  /** Number of processes that the OOM killer has killed in this cgroup. */
  oomKills(): number {
    const events = this.#read("memory", { 1: "memory.oom_control", 2: "memory.events" });
    return Number(field(events, "oom_kill") ?? 0);
  }

  /** Reads a limit; `undefined` if it can't be read. */
  limit(controller: "memory" | "pids" | "cpu"): string | undefined {
    const names = {
      memory: { 1: "memory.limit_in_bytes", 2: "memory.max" },
      pids: { 1: "pids.max", 2: "pids.max" },
      cpu: { 1: "cpu.cfs_quota_us", 2: "cpu.max" },
    };
    return this.#read(controller, names[controller])?.trim().split(" ")[0];
  }

  /** Reads current usage. Memory excludes reclaimable page cache; `processes` counts threads. */
  usage(): MachineUsage {
    const usage: MachineUsage = {};
    const memory = number(this.#read("memory", { 1: "memory.usage_in_bytes", 2: "memory.current" }));
    const stat = this.#read("memory", { 1: "memory.stat", 2: "memory.stat" });
    const cached = Number(field(stat, "total_inactive_file") ?? field(stat, "inactive_file") ?? 0);
    if (memory !== undefined) usage.memoryBytes = Math.max(memory - cached, 0);
    const cpuMs = this.#cpuMs();
    if (cpuMs !== undefined) usage.cpuMs = cpuMs;
    const processes = number(this.#read("pids", { 1: "pids.current", 2: "pids.current" }));
    if (processes !== undefined) usage.processes = processes;
    return usage;
  }

  /** Pids of all processes in the cgroup, across hierarchies. */
  pids(): number[] {
    const pids = this.#directories().flatMap((directory) => {
      const listed = readText(join(directory, "cgroup.procs")) ?? "";
      return listed.split("\n").map(Number);
    });
    return [...new Set(pids)].filter((pid) => pid > 0);
  }

  /** Removes the cgroup from every hierarchy. @returns the directories that could not be removed. */
  async remove(): Promise<string[]> {
    const left: string[] = [];
    for (const directory of this.#directories()) {
      if (!(await holdsWithin(() => removed(directory), removeTimeoutMs))) left.push(directory);
    }
    return left;
  }

  #cpuMs(): number | undefined {
    const v1 = withController(this.#mounts, "cpuacct");
    if (v1) {
      const nanoseconds = number(readText(join(v1.directory, this.#name, "cpuacct.usage")));
      return nanoseconds === undefined ? undefined : Math.round(nanoseconds / 1e6);
    }
    const microseconds = field(this.#read("cpu", { 1: "", 2: "cpu.stat" }), "usage_usec");
    return microseconds === undefined ? undefined : Math.round(Number(microseconds) / 1e3);
  }

  #read(controller: string, names: Record<1 | 2, string>): string | undefined {
    const mount = withController(this.#mounts, controller);
    return mount && readText(join(mount.directory, this.#name, names[mount.version]));
  }

  #directories(): string[] {
    return this.#mounts.map(({ directory }) => join(directory, this.#name));
  }
}

/** Kills all processes in a cgroup. @returns the pids still running after the timeout. */
export async function killCgroup(cgroup: Cgroup, timeoutMs: number): Promise<number[]> {
  const killed = (): boolean => {
    const pids = cgroup.pids();
    for (const pid of pids) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {}
    }
    return pids.length === 0;
  };
  return (await holdsWithin(killed, timeoutMs)) ? [] : cgroup.pids();
}

/** Removes the parent cgroup if no machine is left in it. */
export async function removeParent(mounts: readonly CgroupMount[], parent: string): Promise<void> {
  for (const { directory } of mounts) await removed(join(directory, parent));
}

/** @returns whether the directory no longer exists. */
async function removed(directory: string): Promise<boolean> {
  try {
    await rmdir(directory);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "ENOENT";
  }
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return undefined;
  }
}

function number(text: string | undefined): number | undefined {
  const value = Number(text);
  return text === undefined || !Number.isFinite(value) ? undefined : value;
}

/** Reads the value of a key in a file of `key value` lines. */
function field(text: string | undefined, key: string): string | undefined {
  const line = text?.split("\n").find((candidate) => candidate.startsWith(`${key} `));
  return line?.slice(key.length + 1);
}
