import { readdirSync, readFileSync } from "node:fs";

const closeOnExec = 0o2000000;
const standardMax = 2;

/** Descriptors that this process may have been started with; the kernel says so once, before any machine adds to them. */
let startedWith: readonly number[] | undefined;

/**
 * The descriptors above standard error that a child of this process would inherit. Node opens none such; but those
 * that it was started with it closes to its children only where they follow one another without a gap. So those alone
 * are looked at again: the cost does not grow with the descriptors of machines.
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
