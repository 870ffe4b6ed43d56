/** The latest restarts of one machine: whether they are a crash loop, and when the next attempt is. */

/** A machine that ran this long has recovered: earlier restarts are no part of a crash loop any more. */
export const calmMs = 30_000;
/** Number of restarts without a calm spell that make a crash loop. */
export const crashLoopRestartsMin = 3;

/** Restarts in a row, with little time between them. */
export interface RestartSpell {
  count: number;
  /** Time of the first and of the last restart. */
  firstAtMs: number;
  lastAtMs: number;
  /** Why the last one was needed. */
  reason: string;
  /** When the machine is, or was, started again. */
  nextAtMs: number;
}

export class RestartHistory {
  readonly #windowMs: number;
  /** Times of the restarts of the current spell within the window. */
  #times: number[] = [];
  #last: { atMs: number; reason: string; nextAtMs: number } | undefined;

  /** @param windowMs Older restarts do not count. */
  constructor(windowMs: number) {
    this.#windowMs = windowMs;
  }

  /** Notes a restart. @param delayMs Time until it is attempted. */
  add(reason: string, delayMs: number, nowMs: number): void {
    if (this.#isCalm(nowMs)) this.#times = [];
    this.#times = this.#times.filter((atMs) => atMs > nowMs - this.#windowMs);
    this.#times.push(nowMs);
    this.#last = { atMs: nowMs, reason, nextAtMs: nowMs + delayMs };
  }

  /** The restarts since the last calm spell; `undefined` without any. */
  spell(nowMs: number): RestartSpell | undefined {
    if (this.#last === undefined || this.#isCalm(nowMs)) return undefined;
    const times = this.#times.filter((atMs) => atMs > nowMs - this.#windowMs);
    const { atMs, reason, nextAtMs } = this.#last;
    return {
      count: Math.max(1, times.length),
      firstAtMs: times[0] ?? atMs,
      lastAtMs: atMs,
      reason,
      nextAtMs,
    };
  }

  #isCalm(nowMs: number): boolean {
    return this.#last === undefined || nowMs - this.#last.nextAtMs >= calmMs;
  }
}
