/** Looks at something again and again until it is well. One look at a time. */
import { setTimeout as delay } from "node:timers/promises";

const firstMs = 250;
const intervalMsMax = 5_000;

export class Reconciler {
  readonly #look: () => Promise<boolean>;
  #running: AbortController | undefined;

  /** @param look Returns whether nothing more is to be done. It must not throw. */
  constructor(look: () => Promise<boolean>) {
    this.#look = look;
  }

  /** Starts to look, unless it does already. */
  start(): void {
    if (this.#running !== undefined) return;
    const running = new AbortController();
    this.#running = running;
    void this.#run(running.signal).finally(() => {
      if (this.#running === running) this.#running = undefined;
    });
  }

  stop(): void {
    this.#running?.abort();
    this.#running = undefined;
  }

  async #run(signal: AbortSignal): Promise<void> {
    let intervalMs = firstMs;
    while (!signal.aborted && !(await this.#look())) {
      await delay(intervalMs, undefined, { signal }).catch(() => undefined);
      intervalMs = Math.min(intervalMs * 2, intervalMsMax);
    }
  }
}
