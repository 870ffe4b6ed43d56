/** Waits with a timeout. */
import { setTimeout as delay } from "node:timers/promises";

/** Maximum delay of a Node timer. A longer delay would fire immediately. */
const timerMsMax = 2 ** 31 - 1;

/**
 * Waits for a promise up to a timeout.
 *
 * @returns whether the promise settled in time, whether it resolved or rejected.
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
 * Polls a condition up to a timeout, with increasing intervals.
 *
 * @returns whether the condition held in time.
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
