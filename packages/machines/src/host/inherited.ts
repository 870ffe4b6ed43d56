/** Descriptors that this process has inherited. */
import { readdirSync, readFileSync } from "node:fs";

const closeOnExec = 0o2000000;
const standardMax = 2;

/** Descriptors that were open when this process started. They are read once, before any machine opens more. */
let startedWith: readonly number[] | undefined;

/**
 * Lists the descriptors above 2 that a child process would inherit. Node opens its own descriptors with
 * close-on-exec, but it sets the flag on inherited ones only up to the first gap. Only the inherited ones are checked
 * again, so that the cost does not grow with the number of machines.
 */
export function inheritableDescriptors(): number[] {
  try {
    startedWith ??= readdirSync("/proc/self/fdinfo").map(Number).filter(isInheritable);
    return startedWith.filter(isInheritable);
  } catch {
    return [];
  }
}

function isInheritable(fd: number): boolean {
  if (fd <= standardMax) return false;
  try {
    const flags = /^flags:\s+([0-7]+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "latin1"))?.[1];
    return flags !== undefined && (Number.parseInt(flags, 8) & closeOnExec) === 0;
  } catch {
    return false;
  }
}
