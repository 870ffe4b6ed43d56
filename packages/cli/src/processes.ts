/** Processes of this host by their pids. */
import { readProcess } from "@nexengine/machines/internal";

/** Reports whether a process has this pid. A process of another user counts. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}

/** Returns the start time of a process, so that a reused pid is not taken for it. Empty if unknown. */
export function startTimeOf(pid: number): string {
  try {
    return String(readProcess(pid)?.startTicks ?? "");
  } catch {
    return "";
  }
}
