/**
 * Exit of the agent as reported by the init on the console. A workload can forge the report, but only for its own
 * exit.
 */
export interface ExitReport {
  /** Exit status as a shell reports it: above 128 means a signal. */
  status: number;
  /** Number of OOM kills in the machine. */
  outOfMemoryCount: number;
}

const reportForm = /\[nex: the agent ended with (\d{1,3}), memory ran out (\d{1,9}) times\]\r?\n/g;

/** Removes the last report from the console text. */
export function takeExitReport(text: string): { console: string; report?: ExitReport } {
  const last = [...text.matchAll(reportForm)].at(-1);
  if (last === undefined) return { console: text };
  const [whole, status, outOfMemoryCount] = last;
  const report = { status: Number(status), outOfMemoryCount: Number(outOfMemoryCount) };
  return { console: text.slice(0, last.index) + text.slice(last.index + whole.length), report };
}
