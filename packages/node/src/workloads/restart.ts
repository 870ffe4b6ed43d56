/** How soon something that ended comes again: a delay that doubles, a cap, and a memory that fades. */

const firstMs = 100;
const delayMsMax = 10_000;
/** So many restarts within the window, then no more. */
const restartsMax = 20;
/** Restarts longer ago than this are forgotten. */
const windowMs = 120_000;

export class RestartBackoff {
  #times: number[] = [];

  /**
   * @param nowMs The clock.
   * @returns how long to wait, or `undefined` when it came too often.
   */
  next(nowMs: number): number | undefined {
    this.#times = this.#times.filter((time) => time > nowMs - windowMs);
    if (this.#times.length >= restartsMax) return undefined;
    this.#times.push(nowMs);
    return Math.min(firstMs * 2 ** (this.#times.length - 1), delayMsMax);
  }
}
