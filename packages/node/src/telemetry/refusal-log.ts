/** Tells in the node's log what was refused or dropped for want of room, at most once a second. */
import type { Logger } from "pino";

const intervalMs = 1_000;

/** Counters that only grow, by what they count. */
export type RefusalCounters = Readonly<Record<string, () => number>>;

export class RefusalLog implements Disposable {
  readonly #log: Logger;
  readonly #counters: RefusalCounters;
  readonly #told = new Map<string, number>();
  readonly #timer: NodeJS.Timeout;

  constructor(counters: RefusalCounters, log: Logger) {
    this.#counters = counters;
    this.#log = log;
    this.#timer = setInterval(() => this.#look(), intervalMs).unref();
  }

  #look(): void {
    const grown: Record<string, number> = {};
    for (const [name, count] of Object.entries(this.#counters)) {
      const total = count();
      const more = total - (this.#told.get(name) ?? 0);
      if (more > 0) grown[name] = more;
      this.#told.set(name, total);
    }
    if (Object.keys(grown).length > 0)
      this.#log.warn(grown, "the node is at a limit: some of its work was refused or dropped");
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
