/** Back-off for restarts: a delay that doubles up to a maximum, within a sliding window. */

const firstMs = 100;
const delayMsMax = 10_000;
/** Maximum number of restarts within the window. */
const restartsMax = 20;
/** Length of the window. Older restarts do not count. */
export const windowMs = 120_000;

export class RestartBackoff {
  readonly #totalMax: number | undefined;
  readonly #firstMs: number;
  #times: number[] = [];
  #total = 0;

  /**
   * @param totalMax Maximum number of restarts in total; only the window counts when absent.
   * @param firstDelayMs Delay before the first restart.
   * @param total Number of restarts so far.
   */
  constructor(totalMax?: number, firstDelayMs = firstMs, total = 0) {
    this.#totalMax = totalMax;
    this.#firstMs = firstDelayMs;
    this.#total = total;
  }

  /**
   * @param nowMs Current time.
   * @returns the delay, or `undefined` when there were too many restarts.
   */
  next(nowMs: number): number | undefined {
    this.#times = this.#times.filter((time) => time > nowMs - windowMs);
    const spent =
      this.#totalMax === undefined ? this.#times.length >= restartsMax : this.#total >= this.#totalMax;
    if (spent) return undefined;
    this.#times.push(nowMs);
    this.#total++;
    return Math.min(this.#firstMs * 2 ** (this.#times.length - 1), Math.max(delayMsMax, this.#firstMs));
  }
}
