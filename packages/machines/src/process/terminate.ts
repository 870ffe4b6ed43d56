/** Stops and kills the processes of one machine. */
import { MachineError } from "../errors.ts";
import { killProcessTree, signalProcess } from "../host/kill.ts";
import {
  hasProcessTable,
  type ProcessIdentity,
  readProcess,
  type SharedProcessTable,
} from "../host/process-table.ts";
import { type ProcessTree, SessionProcessTree } from "../host/process-tree.ts";
import { settlesWithin } from "../host/wait.ts";
import type { Guest } from "./spawn.ts";

/** Terminates the processes of one machine. Verifies each pid before it sends a signal. */
export class Terminator {
  readonly #guest: Guest;
  readonly #table: SharedProcessTable;
  readonly #ended: Promise<unknown>;
  readonly #identity: ProcessIdentity | undefined;
  readonly #processTree: ProcessTree | undefined;
  #running = true;

  /** Must be created in the turn in which the guest was spawned, before its pid can be reused. */
  constructor(guest: Guest, realDirectory: string, table: SharedProcessTable) {
    this.#guest = guest;
    this.#table = table;
    const entry = hasProcessTable ? readProcess(guest.pid) : undefined;
    this.#identity = entry && { pid: guest.pid, startTicks: entry.startTicks };
    this.#processTree = this.#identity && new SessionProcessTree(this.#identity, realDirectory);
    this.#ended = new Promise<void>((resolve) => {
      guest.child.once("exit", () => {
        this.#running = false;
        this.#atExit();
        resolve();
      });
    });
  }

  /** Process tree of the machine; absent if the host has no process table. */
  get processTree(): ProcessTree | undefined {
    return this.#processTree;
  }

  /** Whether the guest process is running. */
  get running(): boolean {
    return this.#running;
  }

  /** Asks the guest to exit. Records its descendants first, because its exit makes orphans of them. */
  ask(): void {
    if (!this.#running) return;
    this.#learnMembers();
    if (this.#identity) signalProcess(this.#identity, "SIGTERM");
    else this.#guest.child.kill("SIGTERM");
  }

  /** Waits for the guest to exit. @returns whether it exited in time. */
  async endsWithin(timeoutMs: number): Promise<boolean> {
    return !this.#running || (await settlesWithin(this.#ended, timeoutMs));
  }

  /**
   * Kills all processes of the machine.
   *
   * @throws MachineError `destroy_failed` if processes are left after the timeout.
   */
  async kill(id: string, timeoutMs: number): Promise<void> {
    const left = this.#processTree
      ? await killProcessTree(this.#processTree, timeoutMs, this.#table)
      : this.#killGroup();
    if (left.length === 0 && (await this.endsWithin(timeoutMs))) return;
    const pids = left.map((identity) => identity.pid).join(", ") || String(this.#guest.pid);
    throw new MachineError(
      "destroy_failed",
      `Cannot kill machine "${id}": processes ${pids} are still running`,
    );
  }

  /**
   * Runs at the last moment at which the guest's process group id can't be reused. Records the members of the group,
   * or kills the group on a host without a process table.
   */
  #atExit(): void {
    if (this.#processTree) this.#learnMembers();
    else this.#sendToGroup();
  }

  /** Members that can't be read now, because no descriptor is free, are found again during the kill. */
  #learnMembers(): void {
    try {
      this.#processTree?.members(this.#table.ofThisTurn());
    } catch {}
  }

  #killGroup(): ProcessIdentity[] {
    if (this.#running) this.#sendToGroup();
    return [];
  }

  #sendToGroup(): void {
    try {
      process.kill(-this.#guest.pid, "SIGKILL");
    } catch {}
  }
}
