/** Watches detached machines for their exit, with one timer for all of them. */
import { type ExitStatus, readExitStatus } from "./exit-status.ts";
import type { ProcessIdentity } from "./process-table.ts";
import { holdsWithin } from "./wait.ts";

const roundMs = 100;
/** Maximum number of processes checked per round, so that the cost does not grow with the number of machines. */
const looksMax = 16;
const hintMs = 1_000;
const hintedIntervalMs = 10;

/** Reads the exit status of one process. Replaceable in tests. */
export type ReadExitStatus = (identity: ProcessIdentity) => ExitStatus | undefined;

interface Watched {
  identity: ProcessIdentity;
  ended(exitStatus: ExitStatus): void;
}

/**
 * Detects exits of processes that are not children of this process. One timer serves all of them and checks a few per
 * round. A hint reports most exits immediately; the rounds catch processes that suppress the hint.
 */
export class ExitWatch {
  readonly #read: ReadExitStatus;
  /** In checking order: the first entry is checked next. */
  readonly #watched = new Set<Watched>();
  #timer: NodeJS.Timeout | undefined;

  constructor(read: ReadExitStatus = readExitStatus) {
    this.#read = read;
  }

  /**
   * Resolves when a process has exited.
   *
   * @param hint Resolves on exit, unless the process suppresses it. The process is then polled at short intervals.
   * @param signal Ends the watch. The promise never settles then.
   */
  async ended(identity: ProcessIdentity, hint: Promise<void>, signal?: AbortSignal): Promise<ExitStatus> {
    const { promise, resolve } = Promise.withResolvers<ExitStatus>();
    const watched: Watched = { identity, ended: resolve };
    this.#watched.add(watched);
    signal?.addEventListener("abort", () => this.#forget(watched), { once: true });
    this.#timer ??= setInterval(() => this.#round(), roundMs);
    void hint.then(() => holdsWithin(() => this.#look(watched), hintMs, hintedIntervalMs));
    this.#look(watched);
    return await promise;
  }

  #round(): void {
    let left = Math.min(looksMax, this.#watched.size);
    for (const watched of this.#watched) {
      if (left-- === 0) break;
      // Moves the entry to the end of the queue.
      this.#watched.delete(watched);
      this.#watched.add(watched);
      this.#look(watched);
    }
  }

  /** @returns whether the process has exited. */
  #look(watched: Watched): boolean {
    if (!this.#watched.has(watched)) return true;
    const exitStatus = this.#read(watched.identity);
    if (exitStatus === undefined) return false;
    this.#forget(watched);
    watched.ended(exitStatus);
    return true;
  }

  #forget(watched: Watched): void {
    this.#watched.delete(watched);
    if (this.#watched.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

/** Shared instance for this process. It holds no timer while it watches nothing. */
export const exitWatch: ExitWatch = new ExitWatch();
