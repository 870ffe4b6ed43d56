/** Finds orphans of machines on the host, beside the machines that are meant to run. */
import { existsSync, readdirSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { type Bounds, mountsNow } from "./bounds.ts";

const goneMsMax = 10_000;
const pollMs = 20;
/** The node, which is in this process, and its server. */
const ownProcesses = 2;

/** Resources of the host that a kind of machine has beside its directory. */
export interface Holdings {
  cgroup: boolean;
  idRange: boolean;
}

/** Compares with what there was when it was made. */
export class Orphans {
  readonly #bounds: Bounds;
  readonly #directories: string;
  readonly #idsDirectory: string;
  readonly #mounts: number;
  readonly #machines: number;
  readonly #holdings: Holdings;

  /** @param machines How many run when no hostile one does. */
  constructor(
    bounds: Bounds,
    nodeDirectory: string,
    idsDirectory: string,
    machines: number,
    holdings: Holdings,
  ) {
    this.#holdings = holdings;
    this.#bounds = bounds;
    this.#directories = `${nodeDirectory}/machines`;
    this.#idsDirectory = idsDirectory;
    this.#machines = machines;
    this.#mounts = this.#mountCount();
  }

  /** Waits until nothing is left. @returns what still is after some seconds. */
  async left(): Promise<string[]> {
    const deadline = performance.now() + goneMsMax;
    for (;;) {
      const left = this.#look();
      if (left.length === 0 || performance.now() > deadline) return left;
      await delay(pollMs);
    }
  }

  #mountCount(): number {
    return mountsNow().filter((line) => line.includes(this.#bounds.directory)).length;
  }

  #look(): string[] {
    const { cgroup, idRange } = this.#holdings;
    const machines = this.#machines;
    const counts: [string, number, number][] = [
      ["control groups", this.#bounds.cgroup.machines().length, cgroup ? machines : 0],
      ["machine directories", entries(this.#directories), machines],
      ["ranges of ids", entries(this.#idsDirectory), idRange ? machines : 0],
      ["mounts", this.#mountCount(), this.#mounts],
      // Where a machine has no group of its own, its process is beside ours.
      ["processes", this.#bounds.cgroup.pids().length, ownProcesses + (cgroup ? 0 : machines)],
    ];
    return counts
      .filter(([, now, wanted]) => now !== wanted)
      .map(([what, now, wanted]) => `${now} ${what} instead of ${wanted}`);
  }
}

function entries(path: string): number {
  return existsSync(path) ? readdirSync(path).length : 0;
}
