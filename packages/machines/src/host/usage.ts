/** Measures the resources that the processes of a machine use. */
import { readFile } from "node:fs/promises";
import type { MachineUsage } from "../driver.ts";
import type { ProcessEntry } from "./process-table.ts";

/** `/proc` counts CPU time in units of 10 ms (USER_HZ = 100) on every architecture that Node supports. */
const msPerTick = 10;

/** Sums the usage of processes. Memory is absent if the kernel reports it for none of them. */
export async function measureUsage(members: readonly ProcessEntry[]): Promise<MachineUsage> {
  const usage: MachineUsage = {
    processes: members.length,
    cpuMs: members.reduce((sum, member) => sum + member.cpuTicks, 0) * msPerTick,
  };
  const sizes: number[] = [];
  for (const member of members) {
    const size = await proportionalBytes(member.pid);
    if (size !== undefined) sizes.push(size);
  }
  if (sizes.length > 0 || members.length === 0)
    usage.memoryBytes = sizes.reduce((sum, size) => sum + size, 0);
  return usage;
}

async function proportionalBytes(pid: number): Promise<number | undefined> {
  try {
    const kibibytes = /^Pss:\s+(\d+) kB/m.exec(await readFile(`/proc/${pid}/smaps_rollup`, "latin1"))?.[1];
    return kibibytes === undefined ? undefined : Number(kibibytes) * 1024;
  } catch {
    return undefined;
  }
}
