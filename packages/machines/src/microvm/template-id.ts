import { isAlive, readProcess } from "../host/process-table.ts";

let count = 0;

/** The id of a machine that becomes a template, which tells whose it is, since it has no record. */
export function newTemplateId(): string {
  const { pid, startTicks } = readProcess(process.pid) ?? { pid: process.pid, startTicks: 0 };
  return `template${pid}x${startTicks}x${++count}`;
}

/** Was it made by a process that has ended? */
export function isAbandonedTemplate(id: string): boolean {
  const [, pid, startTicks] = /^template(\d+)x(\d+)x\d+$/.exec(id) ?? [];
  return pid !== undefined && !isAlive({ pid: Number(pid), startTicks: Number(startTicks) });
}
