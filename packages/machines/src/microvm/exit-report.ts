/** How the agent ended, as the init says on the console. A workload could say it too: it would lie of its own end only. */
export interface ExitReport {
  /** As a shell sees it: beyond 128 it was a signal. */
  status: number;
  /** How often the machine's memory ran out. */
  outOfMemoryCount: number;
}

const reportForm = /\[nex: the agent ended with (\d{1,3}), memory ran out (\d{1,9}) times\]\r?\n/g;

/** Takes the last report out of what was written to the console. */
export function takeExitReport(text: string): { console: string; report?: ExitReport } {
  const last = [...text.matchAll(reportForm)].at(-1);
  if (last === undefined) return { console: text };
  const [whole, status, outOfMemoryCount] = last;
  const report = { status: Number(status), outOfMemoryCount: Number(outOfMemoryCount) };
  return { console: text.slice(0, last.index) + text.slice(last.index + whole.length), report };
}
