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

/** Ends the processes of one machine, each only after a look at whether it is still the same process. */
export class Terminator {
  readonly #guest: Guest;
  readonly #table: SharedProcessTable;
  readonly #ended: Promise<unknown>;
  readonly #identity: ProcessIdentity | undefined;
  readonly #processTree: ProcessTree | undefined;
  #running = true;

  /** To be made in the turn in which the guest was spawned, while its pid can be no other's. */
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

  /** The processes that run now; absent where the host does not show them. */
  get processTree(): ProcessTree | undefined {
    return this.#processTree;
  }

  /** Does the guest itself still run? */
  get running(): boolean {
    return this.#running;
  }

  /** Asks the guest to end; who belongs to it gets known before its end makes orphans of them. */
  ask(): void {
    if (!this.#running) return;
    this.#learnMembers();
    if (this.#identity) signalProcess(this.#identity, "SIGTERM");
    else this.#guest.child.kill("SIGTERM");
  }

  /** Waits for the guest's end, at most so long; says whether it came. */
  async endsWithin(timeoutMs: number): Promise<boolean> {
    return !this.#running || (await settlesWithin(this.#ended, timeoutMs));
  }

  /**
   * Kills whatever belongs to the machine.
   *
   * @throws MachineError `destroy_failed` when something is left after that time.
   */
  async kill(id: string, timeoutMs: number): Promise<void> {
    const left = this.#processTree
      ? await killProcessTree(this.#processTree, timeoutMs, this.#table)
      : this.#killGroup();
    if (left.length === 0 && (await this.endsWithin(timeoutMs))) return;
    const pids = left.map((identity) => identity.pid).join(", ") || String(this.#guest.pid);
    throw new MachineError("destroy_failed", `Cannot kill machine "${id}": processes ${pids} are left`);
  }

  /**
   * The last moment at which the number of the guest's group can be nobody else's: who is in it gets known, or, on
   * a host that shows no processes, is killed.
   */
  #atExit(): void {
    if (this.#processTree) this.#learnMembers();
    else this.#sendToGroup();
  }

  /** Who can't be seen now, because this process has no descriptor left, is looked for again when they are killed. */
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
