import { type ExitStatus, readExitStatus } from "./exit-status.ts";
import type { ProcessIdentity } from "./process-table.ts";
import { holdsWithin } from "./wait.ts";

const roundMs = 100;
/** Maximum number of processes looked at in a round, so that more machines do not cost more. */
const looksMax = 16;
const hintMs = 1_000;
const hintedIntervalMs = 10;

/** Looks at one process. Tests give another one. */
export type ReadExitStatus = (identity: ProcessIdentity) => ExitStatus | undefined;

interface Watched {
  identity: ProcessIdentity;
  ended(exitStatus: ExitStatus): void;
}

/**
 * Notices the ends of processes that are no children of ours. One timer serves them all, and looks at a few of them
 * in each round. An end is noticed at once by the hint that comes with it; the rounds are for a process that hides it.
 */
export class ExitWatch {
  readonly #read: ReadExitStatus;
  /** In the order in which they are looked at: the first one is next. */
  readonly #watched = new Set<Watched>();
  #timer: NodeJS.Timeout | undefined;

  constructor(read: ReadExitStatus = readExitStatus) {
    this.#read = read;
  }

  /**
   * Settles when a process has ended.
   *
   * @param hint Comes with the end where the process does not hide it; the process is looked at often after it.
   */
  async ended(identity: ProcessIdentity, hint: Promise<void>): Promise<ExitStatus> {
    const { promise, resolve } = Promise.withResolvers<ExitStatus>();
    const watched: Watched = { identity, ended: resolve };
    this.#watched.add(watched);
    this.#timer ??= setInterval(() => this.#round(), roundMs);
    void hint.then(() => holdsWithin(() => this.#look(watched), hintMs, hintedIntervalMs));
    this.#look(watched);
    return await promise;
  }

  #round(): void {
    let left = Math.min(looksMax, this.#watched.size);
    for (const watched of this.#watched) {
      if (left-- === 0) break;
      // To the end of the order.
      this.#watched.delete(watched);
      this.#watched.add(watched);
      this.#look(watched);
    }
  }

  /** @returns whether it has ended. */
  #look(watched: Watched): boolean {
    if (!this.#watched.has(watched)) return true;
    const exitStatus = this.#read(watched.identity);
    if (exitStatus === undefined) return false;
    this.#watched.delete(watched);
    if (this.#watched.size === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
    watched.ended(exitStatus);
    return true;
  }
}

/** The watch of this process. It holds nothing while it watches nobody. */
export const exitWatch: ExitWatch = new ExitWatch();
