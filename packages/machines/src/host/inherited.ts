import { readdirSync, readFileSync } from "node:fs";

const closeOnExec = 0o2000000;

/**
 * The descriptors above standard error that a child of this process would inherit. Node opens none such; but those
 * that it was started with it closes to its children only where they follow one another without a gap.
 */
export function inheritableDescriptors(): number[] {
  try {
    return readdirSync("/proc/self/fdinfo")
      .map(Number)
      .filter((fd) => fd > 2 && isInheritable(fd));
  } catch {
    return [];
  }
}

function isInheritable(fd: number): boolean {
  try {
    const flags = /^flags:\s+([0-7]+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "latin1"))?.[1];
    return flags !== undefined && (Number.parseInt(flags, 8) & closeOnExec) === 0;
  } catch {
    return false;
  }
}
