/**
 * Whether a function has so many waiting calls that it should leave further ones to other copies. Two marks lie apart, so
 * that the answer does not change with each call.
 */

const highMax = 32;
const lowMax = 8;
/** Below this time the wait of calls does not make a function full: a copy may be the only one, and callers wait that long. */
const waitMs = 1_000;

export class FillMarks {
  readonly #high: number;
  readonly #urgent: number;
  readonly #low: number;
  readonly #listeners: ((isFull: boolean) => void)[] = [];
  #isFull = false;

  /** @param callQueueMax Maximum number of waiting calls */
  constructor(callQueueMax: number) {
    const half = Math.floor(callQueueMax / 2);
    this.#high = Math.max(Math.min(highMax, half), 1);
    this.#urgent = Math.max(highMax, half);
    this.#low = Math.min(lowMax, Math.floor(callQueueMax / 8));
  }

  get isFull(): boolean {
    return this.#isFull;
  }

  /** Calls back at each change, in the turn of the call that makes it. */
  onChange(listener: (isFull: boolean) => void): void {
    this.#listeners.push(listener);
  }

  /** A call has begun to wait. @param oldestMs Time that the first of the waiting calls has waited */
  grown(waiting: number, oldestMs: number): void {
    if (this.#isFull || waiting < this.#high) return;
    if (oldestMs >= waitMs || waiting >= this.#urgent) this.#set(true);
  }

  /** Fewer calls may wait. */
  shrunk(waiting: number): void {
    if (this.#isFull && waiting <= this.#low) this.#set(false);
  }

  #set(isFull: boolean): void {
    this.#isFull = isFull;
    for (const listener of this.#listeners) listener(isFull);
  }
}
