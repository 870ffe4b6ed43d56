/** How soon something that ended comes again: a delay that doubles, a cap, and a memory that fades. */

const firstMs = 100;
const delayMsMax = 10_000;
/** So many restarts within the window, then no more. */
const restartsMax = 20;
/** Restarts longer ago than this are forgotten. */
const windowMs = 120_000;

export class RestartBackoff {
  readonly #totalMax: number | undefined;
  readonly #firstMs: number;
  #times: number[] = [];
  #total = 0;

  /**
   * @param totalMax Restarts all in all; only those within the window are bounded when absent.
   * @param firstDelayMs Before the first one.
   */
  constructor(totalMax?: number, firstDelayMs = firstMs) {
    this.#totalMax = totalMax;
    this.#firstMs = firstDelayMs;
  }

  /**
   * @param nowMs The clock.
   * @returns how long to wait, or `undefined` when it came too often.
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
