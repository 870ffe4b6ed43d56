import type { Channels, Machine, MachineExit, MachineRecord, MachineSpec, MachineUsage } from "../driver.ts";
import { MachineError } from "../errors.ts";
import type { Attachments } from "./attachments.ts";
import { type ExitStatus, readExitStatus } from "./exit-status.ts";
import type { FifoConsole } from "./fifo-console.ts";
import { signalProcess } from "./kill.ts";
import type { ProcessIdentity } from "./process-table.ts";
import { settlesWithin } from "./wait.ts";
import { exitWatch } from "./watch.ts";

/** What of an order a machine still needs when it runs. */
export type Kept = Pick<MachineSpec, "id" | "directory">;

/** What a machine is made of, whoever booted it. */
export interface Parts {
  /** The process whose end is the machine's; no child of this one. */
  identity: ProcessIdentity;
  attachments: Attachments;
  console: FifoConsole;
  /** How long a killed machine may take to be gone. */
  killTimeoutMs: number;
}

/** A machine that does not end with the process that booted it. */
export abstract class DetachedMachine implements Machine {
  readonly id: string;
  readonly directory: string;
  readonly exited: Promise<MachineExit>;
  readonly #identity: ProcessIdentity;
  readonly #attachments: Attachments;
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
    this.#killTimeoutMs = killTimeoutMs;
    this.exited = this.#watch(console);
  }

  abstract usage(): Promise<MachineUsage>;
  abstract record(): MachineRecord;
  /** Asks the program in the machine to end. */
  protected abstract ask(): void;
  /** Kills what runs beside the first process. @returns the processes that are left. */
  protected abstract killOthers(): Promise<number[]>;
  /** Removes what the machine held. @throws MachineError `destroy_failed` */
  protected abstract cleanUp(): Promise<void>;
  /** What its end was, where nobody here has killed it. @param console All that is known of what it wrote. */
  protected abstract describe(exitStatus: ExitStatus, console: string): MachineExit;

  /** Has it been asked to end? */
  protected get wasAsked(): boolean {
    return this.#asked;
  }

  protected get isRunning(): boolean {
    return this.#running;
  }

  async attach(epoch: number): Promise<Channels> {
    if (!this.#running || this.#destroyed) {
      throw new MachineError(
        "wrong_state",
        `Cannot attach to machine "${this.id}" for epoch ${epoch}: it has ended`,
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

  destroy(): Promise<void> {
    this.#destroyed ??= this.#destroy().catch((error: unknown) => {
      this.#destroyed = undefined;
      throw error;
    });
    return this.#destroyed;
  }

  async #destroy(): Promise<void> {
    // What can't be killed now is tried again, and told, with all else that is left.
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
      `Cannot kill machine "${this.id}": left are processes ${pids.join(", ")}`,
    );
  }

  async #watch(console: FifoConsole): Promise<MachineExit> {
    const exitStatus = await exitWatch.ended(this.#identity, console.closed);
    this.#running = false;
    this.#attachments.hangUp();
    const exit = this.describe(exitStatus, await console.end());
    if (!this.#forced) return exit;
    return { reason: "killed", console: exit.console };
  }
}
