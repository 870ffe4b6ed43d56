/**
 * An amount that everything on a node shares: bytes in memory, streams, frames a second. Each owner has a guaranteed
 * part, so that nobody who takes too much harms a neighbour; what goes beyond it comes from a common part.
 */

/** How an amount is divided; all three in the unit of the amount. */
export interface QuotaOptions {
  /** The common part. */
  common: number;
  /** Guaranteed part of each owner. The node holds at most `common` plus this for each owner. */
  guaranteed: number;
  /** The most that one owner has. */
  ownerMax: number;
}

export class Quota {
  readonly options: Readonly<QuotaOptions>;
  #commonUsed = 0;
  #refused = 0;

  constructor(options: QuotaOptions) {
    this.options = options;
  }

  /** The amount of the common part that owners hold now. */
  get commonUsed(): number {
    return this.#commonUsed;
  }

  /** How often an owner was refused. */
  get refused(): number {
    return this.#refused;
  }

  /** The part of a new owner, which holds nothing yet. */
  share(): Share {
    return new Share(this);
  }

  /** Moves the common part by what an owner's excess changes. @returns whether there is room for it. */
  moveCommon(change: number): boolean {
    if (change > 0 && this.#commonUsed + change > this.options.common) return this.refuse();
    this.#commonUsed += change;
    return true;
  }

  /** Moves the common part, also beyond its limit. */
  forceCommon(change: number): void {
    this.#commonUsed += change;
  }

  /** An owner asked for more than it may have. */
  refuse(): false {
    this.#refused++;
    return false;
  }
}

/** One owner's share of a quota. */
export class Share {
  readonly #quota: Quota;
  #used = 0;
  #isClosed = false;

  constructor(quota: Quota) {
    this.#quota = quota;
  }

  get used(): number {
    return this.#used;
  }

  /** Takes an amount. @returns false, and takes nothing, when it is more than there is. */
  take(amount: number): boolean {
    const { guaranteed, ownerMax } = this.#quota.options;
    const next = this.#used + amount;
    if (this.#isClosed || next > ownerMax) return this.#quota.refuse();
    const change = excess(next, guaranteed) - excess(this.#used, guaranteed);
    if (change > 0 && !this.#quota.moveCommon(change)) return false;
    this.#used = next;
    return true;
  }

  /** Counts an amount that is there already, also beyond the limits. */
  count(amount: number): void {
    if (this.#isClosed) return;
    const { guaranteed } = this.#quota.options;
    const next = this.#used + amount;
    this.#quota.forceCommon(excess(next, guaranteed) - excess(this.#used, guaranteed));
    this.#used = next;
  }

  /** Could this amount be taken now? */
  fits(amount: number): boolean {
    const { common, guaranteed, ownerMax } = this.#quota.options;
    const next = this.#used + amount;
    const change = excess(next, guaranteed) - excess(this.#used, guaranteed);
    return !this.#isClosed && next <= ownerMax && this.#quota.commonUsed + change <= common;
  }

  /** Gives back what was taken. */
  give(amount: number): void {
    if (this.#isClosed) return;
    const { guaranteed } = this.#quota.options;
    const next = Math.max(0, this.#used - amount);
    this.#quota.forceCommon(excess(next, guaranteed) - excess(this.#used, guaranteed));
    this.#used = next;
  }

  /** Gives everything back; nothing can be taken any more. */
  close(): void {
    this.give(this.#used);
    this.#isClosed = true;
  }
}

function excess(used: number, guaranteed: number): number {
  return used > guaranteed ? used - guaranteed : 0;
}
