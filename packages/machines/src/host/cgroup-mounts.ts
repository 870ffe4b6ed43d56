/** Finds the cgroup hierarchies that are mounted on this host. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** A mounted cgroup hierarchy. Version 1 has many hierarchies, version 2 has one; a host may use both. */
export interface CgroupMount {
  directory: string;
  version: 1 | 2;
  controllers: ReadonlySet<string>;
}

/** Lists the cgroup hierarchies whose root is mounted. */
export function readCgroupMounts(): CgroupMount[] {
  return readFileSync("/proc/self/mountinfo", "utf8").split("\n").flatMap(parseMount);
}

/** Finds the hierarchy that has a controller. */
export function withController(mounts: readonly CgroupMount[], controller: string): CgroupMount | undefined {
  return mounts.find(({ controllers }) => controllers.has(controller));
}

/** Reports whether the kernel can account for swap, which is required to limit it. */
export function countsSwap(mounts: readonly CgroupMount[]): boolean {
  const memory = withController(mounts, "memory");
  if (memory === undefined) return false;
  try {
    if (memory.version === 1) return readdirSync(memory.directory).includes("memory.memsw.limit_in_bytes");
    // The root cgroup of version 2 has no limit files, so any child group is checked instead.
    const groups = readdirSync(memory.directory, { withFileTypes: true }).filter((entry) =>
      entry.isDirectory(),
    );
    return groups.some(({ name }) => readdirSync(join(memory.directory, name)).includes("memory.swap.max"));
  } catch {
    return false;
  }
}

function parseMount(line: string): CgroupMount[] {
  const [before = "", after = ""] = line.split(" - ");
  const [, , , root, directory = ""] = before.split(" ");
  const [type, , options = ""] = after.split(" ");
  if (root !== "/") return [];
  if (type === "cgroup") return [{ directory, version: 1, controllers: new Set(options.split(",")) }];
  if (type !== "cgroup2") return [];
  try {
    const listed = readFileSync(join(directory, "cgroup.controllers"), "utf8").trim();
    return [{ directory, version: 2, controllers: new Set(listed.split(" ")) }];
  } catch {
    return [];
  }
}
