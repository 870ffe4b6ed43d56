/** Workloads that have ended, kept for a while so that their end can be explained. */
import type { EndedWorkload } from "@nexengine/protocol/messages";

/** Maximum number on the node. The oldest are forgotten first. */
const countMax = 256;
/** Maximum number per namespace, so that a busy one does not push out the others. */
const namespaceCountMax = 64;
/** How long an ended workload is kept. */
const timeMsMax = 3_600_000;
/** Number of log lines that are kept of each. */
export const endedLinesMax = 20;

/** An ended workload and its namespace. */
export interface EndedEntry {
  namespace: string;
  ended: EndedWorkload;
}

export class EndedWorkloads {
  #entries: EndedEntry[] = [];

  /** All of them, the oldest first. */
  get all(): EndedEntry[] {
    return [...this.#entries];
  }

  add(namespace: string, ended: EndedWorkload): void {
    this.#entries.push({ namespace, ended });
    const own = this.#entries.filter((entry) => entry.namespace === namespace);
    const first = own.length > namespaceCountMax ? own[0] : undefined;
    if (first !== undefined) this.#entries.splice(this.#entries.indexOf(first), 1);
    if (this.#entries.length > countMax) this.#entries.shift();
  }

  /**
   * The ended workloads of a namespace, the latest first.
   *
   * @param isIn Whether a namespace is the one that is asked about.
   */
  list(isIn: (namespace: string) => boolean, nowMs: number): EndedWorkload[] {
    this.#entries = this.#entries.filter(({ ended }) => nowMs - ended.ended_ms < timeMsMax);
    return this.#entries
      .filter(({ namespace }) => isIn(namespace))
      .map(({ ended }) => ended)
      .reverse();
  }
}
