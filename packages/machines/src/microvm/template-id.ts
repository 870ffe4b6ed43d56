/** Ids of the machines that become templates. */
import { isAlive, readProcess } from "../host/process-table.ts";

let count = 0;

/** Creates the id of a template machine. It identifies the owning process, because the machine has no record. */
export function newTemplateId(): string {
  const { pid, startTicks } = readProcess(process.pid) ?? { pid: process.pid, startTicks: 0 };
  return `template${pid}x${startTicks}x${++count}`;
}

/** Reports whether the template's owning process has exited. */
export function isAbandonedTemplate(id: string): boolean {
  const [, pid, startTicks] = /^template(\d+)x(\d+)x\d+$/.exec(id) ?? [];
  return pid !== undefined && !isAlive({ pid: Number(pid), startTicks: Number(startTicks) });
}
