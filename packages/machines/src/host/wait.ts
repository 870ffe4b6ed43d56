import { setTimeout as delay } from "node:timers/promises";

/** The longest time that a timer of Node can wait; a longer one would fire at once. */
const timerMsMax = 2 ** 31 - 1;

/**
 * Waits for a promise, at most so long.
 *
 * @returns whether it settled in time; how it settled is for those who hold it.
 */
export async function settlesWithin(promise: Promise<unknown>, timeoutMs: number): Promise<boolean> {
  const timer = new AbortController();
  const settled = promise.then(
    () => true,
    () => true,
  );
  const late = delay(Math.min(Math.max(timeoutMs, 0), timerMsMax), false, { signal: timer.signal });
  try {
    return await Promise.race([settled, late]);
  } finally {
    late.catch(() => undefined);
    timer.abort();
  }
}

/**
 * Waits until a condition holds, looking again and again, at most so long.
 *
 * @returns whether it held in time.
 */
export async function holdsWithin(
  condition: () => boolean | Promise<boolean>,
  timeoutMs: number,
  intervalMsMax = 50,
): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  for (let intervalMs = 1; ; intervalMs = Math.min(intervalMs * 2, intervalMsMax)) {
    if (await condition()) return true;
    if (performance.now() >= deadline) return false;
    await delay(intervalMs);
  }
}
