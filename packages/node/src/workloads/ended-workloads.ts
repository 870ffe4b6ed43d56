/** Workloads that have ended, remembered for a while so that their end can be explained. */
import type { EndedWorkload } from "@nexengine/protocol/internal";

/** Of all namespaces; the oldest go first. */
const countMax = 256;
/** Of one namespace, so that a busy one does not push the others out. */
const namespaceCountMax = 64;
/** How long an ended workload is remembered. */
const timeMsMax = 3_600_000;
/** Lines that are kept of each. */
export const endedLinesMax = 20;

/** An ended workload, and where it was. */
interface Entry {
  namespace: string;
  ended: EndedWorkload;
}

export class EndedWorkloads {
  #entries: Entry[] = [];

  add(namespace: string, ended: EndedWorkload): void {
    this.#entries.push({ namespace, ended });
    const own = this.#entries.filter((entry) => entry.namespace === namespace);
    const first = own.length > namespaceCountMax ? own[0] : undefined;
    if (first !== undefined) this.#entries.splice(this.#entries.indexOf(first), 1);
    if (this.#entries.length > countMax) this.#entries.shift();
  }

  /**
   * Those of a namespace, the latest first.
   *
   * @param isIn Tells whether a workload's namespace is the one that is asked about.
   */
  list(isIn: (namespace: string) => boolean, nowMs: number): EndedWorkload[] {
    this.#entries = this.#entries.filter(({ ended }) => nowMs - ended.ended_ms < timeMsMax);
    return this.#entries
      .filter(({ namespace }) => isIn(namespace))
      .map(({ ended }) => ended)
      .reverse();
  }
}
