/** Shared parts of benchmarks: samples, their quantiles, and rows. */

/** The sample below which that part of them lies. */
export function quantile(samples: readonly number[], at: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * at))] ?? Number.NaN;
}

export const median = (samples: readonly number[]): number => quantile(samples, 0.5);

/** Prints a figure. */
export const row = (what: string, value: string): void => console.log(`${what.padEnd(66)} ${value}`);

export async function timeMs(work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}

const eventuallyMsMax = 30_000;

/** Waits for a condition. @throws Error when it does not come true in `eventuallyMsMax` */
export async function eventually(condition: () => Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + eventuallyMsMax;
  while (!(await condition())) {
    if (performance.now() > deadlineMs) throw new Error(`nothing came within ${eventuallyMsMax} ms`);
  }
}
