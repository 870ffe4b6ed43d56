/** Base class of machines that are no children of their node and can outlive it. */
import type { Channels, Machine, MachineExit, MachineRecord, MachineSpec, MachineUsage } from "../driver.ts";
import { MachineError } from "../errors.ts";
import type { Attachments } from "./attachments.ts";
import { type ExitStatus, readExitStatus } from "./exit-status.ts";
import type { FifoConsole } from "./fifo-console.ts";
import { signalProcess } from "./kill.ts";
import type { ProcessIdentity } from "./process-table.ts";
import { settlesWithin } from "./wait.ts";
import { exitWatch } from "./watch.ts";

/** The members of a spec that a running machine still needs. */
export type Kept = Pick<MachineSpec, "id" | "directory">;

/** Components of a detached machine. */
export interface Parts {
  /** The machine has exited when this process has exited. It is not a child of this process. */
  identity: ProcessIdentity;
  attachments: Attachments;
  console: FifoConsole;
  /** Maximum time for a killed machine to disappear, in ms. */
  killTimeoutMs: number;
}

/** Base class of machines that outlive the process that booted them. */
export abstract class DetachedMachine implements Machine {
  readonly id: string;
  readonly directory: string;
  readonly exited: Promise<MachineExit>;
  readonly #identity: ProcessIdentity;
  readonly #attachments: Attachments;
  readonly #console: FifoConsole;
  readonly #detached = new AbortController();
  readonly #killTimeoutMs: number;
  #running = true;
  #asked = false;
  #forced = false;
  #destroyed: Promise<void> | undefined;

  constructor({ id, directory }: Kept, { identity, attachments, console, killTimeoutMs }: Parts) {
    this.id = id;
    this.directory = directory;
    this.#identity = identity;
    this.#attachments = attachments;
    this.#console = console;
    this.#killTimeoutMs = killTimeoutMs;
    this.exited = this.#watch();
  }

  abstract usage(): Promise<MachineUsage>;
  abstract record(): MachineRecord;
  /** Asks the program in the machine to exit. */
  protected abstract ask(): void;
  /** Kills all processes except the first one. @returns the pids that could not be killed. */
  protected abstract killOthers(): Promise<number[]>;
  /** Removes everything the machine held. @throws MachineError `destroy_failed` */
  protected abstract cleanUp(): Promise<void>;
  /** Describes the exit of a machine that this process did not kill. @param console The captured console output. */
  protected abstract describe(exitStatus: ExitStatus, console: string): MachineExit;

  /** Whether the machine has been asked to exit. */
  protected get wasAsked(): boolean {
    return this.#asked;
  }

  protected get isRunning(): boolean {
    return this.#running;
  }

  /** Whether this process has let go of it. */
  get isDetached(): boolean {
    return this.#detached.signal.aborted;
  }

  async attach(epoch: number): Promise<Channels> {
    if (!this.#running || this.#destroyed || this.isDetached) {
      throw new MachineError(
        "wrong_state",
        `Cannot attach to machine "${this.id}" for epoch ${epoch}: it ${this.isDetached ? "was let go of" : "has exited"}`,
      );
    }
    return await this.#attachments.open(epoch, this.id);
  }

  async stop(graceMs: number): Promise<{ forced: boolean }> {
    if (!this.#asked && this.#running) this.ask();
    this.#asked = true;
    await settlesWithin(this.exited, graceMs);
    await this.#kill();
    return { forced: this.#forced };
  }

  detach(): void {
    this.#detached.abort();
    this.#attachments.destroy();
    this.#console.destroy();
  }

  destroy(): Promise<void> {
    this.#destroyed ??= this.#destroy().catch((error: unknown) => {
      this.#destroyed = undefined;
      throw error;
    });
    return this.#destroyed;
  }

  async #destroy(): Promise<void> {
    // `cleanUp` retries the kill and reports whatever is left.
    await this.#kill().catch(() => undefined);
    this.#attachments.destroy();
    await this.cleanUp();
  }

  async #kill(): Promise<void> {
    if (this.#running && readExitStatus(this.#identity) === undefined) {
      this.#forced = true;
      signalProcess(this.#identity, "SIGKILL");
    }
    const left = await this.killOthers();
    if (left.length === 0 && (await settlesWithin(this.exited, this.#killTimeoutMs))) return;
    const pids = left.length > 0 ? left : [this.#identity.pid];
    throw new MachineError(
      "destroy_failed",
      `Cannot kill machine "${this.id}": processes ${pids.join(", ")} are still running`,
    );
  }

  async #watch(): Promise<MachineExit> {
    const console = this.#console;
    const exitStatus = await exitWatch.ended(this.#identity, console.closed, this.#detached.signal);
    this.#running = false;
    this.#attachments.hangUp();
    const exit = this.describe(exitStatus, await console.end());
    if (!this.#forced) return exit;
    return { reason: "killed", console: exit.console };
  }
}
