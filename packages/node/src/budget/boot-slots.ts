/**
 * A bounded number of concurrent boots. Later ones wait for a bounded time, in the order of their owner, and owners take
 * turns: one that asks for many boots does not keep the others waiting.
 */
import { NexError } from "@nexengine/protocol/errors";

export class BootSlots {
  readonly #max: number;
  #used = 0;
  /** Waiting boots by owner; the first owner is the next one. */
  readonly #waiting = new Map<string, (() => void)[]>();

  /** @param max Maximum number of concurrent boots. */
  constructor(max: number) {
    this.#max = max;
  }

  /**
   * Runs `work` in a slot.
   *
   * @param owner For whom it boots: a namespace, or the warm pool.
   * @throws NexError `no_ready_machine` when no slot became free within `timeoutMs`.
   */
  async run<T>(owner: string, timeoutMs: number, work: () => Promise<T>): Promise<T> {
    if (this.#used < this.#max) this.#used++;
    else await this.#wait(owner, timeoutMs);
    try {
      return await work();
    } finally {
      const next = this.#next();
      if (next === undefined) this.#used--;
      else next();
    }
  }

  /** Takes the first boot of the next owner, which then goes to the end of the row. */
  #next(): (() => void) | undefined {
    const [entry] = this.#waiting;
    if (entry === undefined) return undefined;
    const [owner, boots] = entry;
    const next = boots.shift();
    this.#waiting.delete(owner);
    if (boots.length > 0) this.#waiting.set(owner, boots);
    return next;
  }

  #wait(owner: string, timeoutMs: number): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(() => {
      const boots = this.#waiting.get(owner)?.filter((boot) => boot !== take) ?? [];
      if (boots.length > 0) this.#waiting.set(owner, boots);
      else this.#waiting.delete(owner);
      const why = `${this.#max} machines boot already, and none was ready within ${timeoutMs} ms`;
      reject(new NexError("no_ready_machine", `Failed to get agent client from pool: ${why}`));
    }, timeoutMs);
    const take = (): void => {
      clearTimeout(timer);
      resolve();
    };
    const boots = this.#waiting.get(owner);
    if (boots === undefined) this.#waiting.set(owner, [take]);
    else boots.push(take);
    return promise;
  }
}
