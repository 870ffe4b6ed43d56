/** The exit status of a process that is no child of this one. */
import { type ProcessIdentity, readStat } from "./process-table.ts";

/** Exit status of a machine's first process. Empty if the host's init reaped the process before its status was read. */
export interface ExitStatus {
  code?: number;
  signal?: number;
}

/**
 * Checks whether a process that is not our child has exited with all its threads.
 *
 * @returns `undefined` while the process runs, and while its state can't be read. The caller retries.
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
  // A process whose main thread has exited looks like a zombie while its other threads still run.
  const ended = (fields[0] === "Z" && field(20) <= 1) || fields[0] === "X";
  if (!ended) return undefined;
  const status = field(52);
  const signal = status & 0x7f;
  return signal === 0 ? { code: status >> 8 } : { signal };
}
