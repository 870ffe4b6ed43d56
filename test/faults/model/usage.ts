/** Resources that the process of a node holds. */
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";

/** Time without requests, in which the node collects its garbage. */
const idleMs = 2_000;

export interface Usage {
  residentMib: number;
  descriptors: number;
}

/** @param pid A node with nothing deployed. */
export async function idleUsage(pid: number): Promise<Usage> {
  await delay(idleMs);
  const [, kib = "0"] = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return { residentMib: Math.round(Number(kib) / 1_024), descriptors: readdirSync(`/proc/${pid}/fd`).length };
}
