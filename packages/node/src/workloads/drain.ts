/** Shutdown of a node that an operator asked for: functions finish their calls, services stop, and a deadline ends the rest. */
import type { Workloads } from "./workloads.ts";

export class Drain implements Disposable {
  readonly #workloads: Workloads;
  readonly #finished = Promise.withResolvers<void>();
  #endsAtMs = Number.POSITIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;

  constructor(workloads: Workloads) {
    this.#workloads = workloads;
  }

  /** Whether an operator has asked for the shutdown. */
  get isBegun(): boolean {
    return this.#timer !== undefined;
  }

  /** Settles when no workload is left, or at the deadline. */
  get finished(): Promise<void> {
    return this.#finished.promise;
  }

  /** Starts the shutdown. Of several calls, the earliest deadline counts. */
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
