import { type ProcessIdentity, readStat } from "./process-table.ts";

/** How the first process of a machine ended, where somebody saw it before the host's init took it away. */
export interface ExitStatus {
  code?: number;
  signal?: number;
}

/**
 * Has this process, which is no child of ours, ended with all its threads?
 *
 * @returns `undefined` while it runs, and while that can't be known: a caller asks again.
 */
export function readExitStatus(identity: ProcessIdentity): ExitStatus | undefined {
  let stat: string | undefined;
  try {
    stat = readStat(identity.pid);
  } catch {
    return undefined;
  }
  if (stat === undefined) return {};
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const field = (number: number): number => Number(fields[number - 3]);
  if (field(22) !== identity.startTicks) return {};
  // A process whose first thread has ended looks the same while others of its threads run on.
  const ended = (fields[0] === "Z" && field(20) <= 1) || fields[0] === "X";
  if (!ended) return undefined;
  const status = field(52);
  const signal = status & 0x7f;
  return signal === 0 ? { code: status >> 8 } : { signal };
}
