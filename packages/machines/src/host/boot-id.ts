import { readFileSync } from "node:fs";

/** What this boot of the host is called: after another one, the same numbers are other processes. */
export function readBootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}
