/** A bounded number of concurrent boots; later ones wait for a bounded time, in order. */
import { NexError } from "@nexengine/protocol/errors";

export class BootSlots {
  readonly #max: number;
  #used = 0;
  readonly #waiting: (() => void)[] = [];

  /** @param max Maximum number of concurrent boots. */
  constructor(max: number) {
    this.#max = max;
  }

  /**
   * Runs `work` in a slot.
   *
   * @throws NexError `no_ready_machine` when no slot became free within `timeoutMs`.
   */
  async run<T>(timeoutMs: number, work: () => Promise<T>): Promise<T> {
    if (this.#used < this.#max) this.#used++;
    else await this.#wait(timeoutMs);
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#used--;
      else next();
    }
  }

  #wait(timeoutMs: number): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(() => {
      this.#waiting.splice(this.#waiting.indexOf(take), 1);
      const why = `${this.#max} machines boot already, and none was ready within ${timeoutMs} ms`;
      reject(new NexError("no_ready_machine", `Failed to get agent client from pool: ${why}`));
    }, timeoutMs);
    const take = (): void => {
      clearTimeout(timer);
      resolve();
    };
    this.#waiting.push(take);
    return promise;
  }
}
