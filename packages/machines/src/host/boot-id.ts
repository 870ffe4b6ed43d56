import { readFileSync } from "node:fs";

/** Returns the id of the current host boot. Pids and start times are only comparable within one boot. */
export function readBootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}
