/** The end of a node that an operator has asked for: its functions finish what they have, and time runs for the rest. */
import type { Workloads } from "./workloads.ts";

export class Drain implements Disposable {
  readonly #workloads: Workloads;
  readonly #finished = Promise.withResolvers<void>();
  #endsAtMs = Number.POSITIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;

  constructor(workloads: Workloads) {
    this.#workloads = workloads;
  }

  /** Settles when no workload is left, or the time is over. */
  get finished(): Promise<void> {
    return this.#finished.promise;
  }

  /** Begins; of several times the soonest counts. */
  begin(deadlineMs: number): void {
    const endsAtMs = performance.now() + deadlineMs;
    if (endsAtMs >= this.#endsAtMs) return;
    this.#endsAtMs = endsAtMs;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#finished.resolve(), deadlineMs);
    void this.#workloads.drain().then(() => this.#finished.resolve());
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
