/** A machine that is a process of this host. */
import type { Channels, Machine, MachineExit, MachineSpec, MachineUsage } from "../driver.ts";
import { MachineError } from "../errors.ts";
import type { SharedProcessTable } from "../host/process-table.ts";
import { removeTree } from "../host/remove-tree.ts";
import { measureUsage } from "../host/usage.ts";
import type { Guest } from "./spawn.ts";
import { watchExit } from "./spawn.ts";
import { Terminator } from "./terminate.ts";

/** A machine that is a process of this host. */
export class ProcessMachine implements Machine {
  readonly id: string;
  readonly exited: Promise<MachineExit>;
  readonly #directory: string;
  readonly #guest: Guest;
  readonly #terminator: Terminator;
  readonly #table: SharedProcessTable;
  readonly #killTimeoutMs: number;
  #attached = false;
  #asked = false;
  #forced = false;
  #destroyed: Promise<void> | undefined;

  /** @param spec The spec, with the real path of its directory. */
  constructor(
    spec: MachineSpec,

    guest: Guest,
    table: SharedProcessTable,
    killTimeoutMs: number,
  ) {
    this.id = spec.id;
    this.#directory = spec.directory;
    this.#guest = guest;
    this.#table = table;
    this.#killTimeoutMs = killTimeoutMs;
    this.#terminator = new Terminator(guest, spec.directory, table);
    this.exited = watchExit(guest);
  }

  async attach(epoch: number): Promise<Channels> {
    const refuse = (code: "wrong_state" | "attach_failed", why: string): never => {
      throw new MachineError(code, `Cannot attach to machine "${this.id}" for epoch ${epoch}: ${why}`);
    };
    if (!this.#terminator.running || this.#destroyed) refuse("wrong_state", "it has exited");
    if (this.#attached) refuse("attach_failed", "a process machine supports only one epoch");
    this.#attached = true;
    return { frames: this.#guest.frames, calls: this.#guest.calls };
  }

  async usage(): Promise<MachineUsage> {
    const { processTree } = this.#terminator;
    return processTree ? await measureUsage(processTree.members(await this.#table.read())) : {};
  }

  async stop(graceMs: number): Promise<{ forced: boolean }> {
    if (!this.#asked) this.#terminator.ask();
    this.#asked = true;
    await this.#terminator.endsWithin(graceMs);
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
    const failures: unknown[] = [];
    const note = (error: unknown): unknown => failures.push(error);
    await this.#kill().catch(note);
    for (const end of [...this.#guest.console, this.#guest.frames, this.#guest.calls]) end.destroy();
    await removeTree(this.#directory).catch(note);
    if (failures.length === 0) return;
    throw new MachineError(
      "destroy_failed",
      `Cannot destroy machine "${this.id}": its directory or processes could not be removed`,
      {
        cause: failures.length === 1 ? failures[0] : new AggregateError(failures),
      },
    );
  }

  async #kill(): Promise<void> {
    this.#forced ||= this.#terminator.running;
    await this.#terminator.kill(this.id, this.#killTimeoutMs);
    await this.exited;
  }
}
