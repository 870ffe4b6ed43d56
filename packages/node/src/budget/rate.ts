/** A rate that everything on a node shares, with a guaranteed part for each owner. */

/** How a rate is divided; amounts are for one window. */
export interface RateOptions {
  windowMs: number;
  /** The common part. */
  common: number;
  /** Guaranteed rate of each owner. */
  guaranteed: number;
  /** The most that one owner has. */
  ownerMax: number;
}

export class Rate {
  readonly options: Readonly<RateOptions>;
  readonly #nowMs: () => number;
  #window = -1;
  #commonUsed = 0;

  /** @param nowMs The clock. */
  constructor(options: RateOptions, nowMs: () => number = () => performance.now()) {
    this.options = options;
    this.#nowMs = nowMs;
  }

  /** The part of a new owner. */
  share(): RateShare {
    return new RateShare(this);
  }

  /** Number of the current window. */
  window(): number {
    return Math.floor(this.#nowMs() / this.options.windowMs);
  }

  /** Time until the next window begins, in ms. */
  get waitMs(): number {
    const { windowMs } = this.options;
    return windowMs - (this.#nowMs() % windowMs);
  }

  /** Takes from the common part of a window. */
  takeCommon(window: number): boolean {
    if (this.#window !== window) {
      this.#window = window;
      this.#commonUsed = 0;
    }
    if (this.#commonUsed >= this.options.common) return false;
    this.#commonUsed++;
    return true;
  }
}

/** One owner's share of a rate. */
export class RateShare {
  readonly #rate: Rate;
  #window = -1;
  #used = 0;

  constructor(rate: Rate) {
    this.#rate = rate;
  }

  /** Time until more can be taken, in ms: to the next window, or until what was counted beyond the maximum is over. */
  get waitMs(): number {
    this.#advance();
    const { windowMs, ownerMax } = this.#rate.options;
    const furtherWindows = Math.max(0, Math.ceil(this.#used / ownerMax) - 1);
    return this.#rate.waitMs + furtherWindows * windowMs;
  }

  /** Was more counted than this window allows? */
  get isOver(): boolean {
    this.#advance();
    return this.#used > this.#rate.options.ownerMax;
  }

  /** Takes one that can be done without. @returns false when it is one too many for this window. */
  take(): boolean {
    this.#advance();
    if (!this.#fits()) return false;
    this.#used++;
    return true;
  }

  /** Counts one that has happened, also beyond the maximum. @returns false when it was one too many. */
  count(): boolean {
    this.#advance();
    const fits = this.#fits();
    this.#used++;
    return fits;
  }

  #fits(): boolean {
    const { guaranteed, ownerMax } = this.#rate.options;
    if (this.#used < guaranteed) return true;
    return this.#used < ownerMax && this.#rate.takeCommon(this.#window);
  }

  /** A window that is over takes with it what it allowed. */
  #advance(): void {
    const window = this.#rate.window();
    if (this.#window === window) return;
    const passed = this.#window < 0 ? 0 : window - this.#window;
    this.#used = Math.max(0, this.#used - passed * this.#rate.options.ownerMax);
    this.#window = window;
  }
}
