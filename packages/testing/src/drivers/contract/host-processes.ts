import { existsSync, readdirSync, readFileSync } from "node:fs";
import { hasProcessTable, ResidentProcessTree } from "@nexengine/machines/internal";

/** Lists processes of this host that run in a directory or name it in their arguments. */
export function processesOf(directory: string): string[] {
  if (!hasProcessTable) return [];
  const pids = new Set(new ResidentProcessTree(directory).members().map((member) => member.pid));
  for (const pid of readdirSync("/proc").map(Number)) {
    if (pid !== process.pid && argumentsOf(pid).includes(directory)) pids.add(pid);
  }
  return [...pids].map((pid) => `${pid} ${argumentsOf(pid)}`);
}

/** Number of open descriptors of this process; 0 if the host does not show them. */
export function countDescriptors(): number {
  return existsSync("/proc/self/fd") ? readdirSync("/proc/self/fd").length : 0;
}

function argumentsOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
  } catch {
    return "";
  }
}
