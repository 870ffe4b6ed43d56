import { closeSync, writeSync } from "node:fs";
import type { Channels, Machine, MachineExit, MachineRecord, MachineSpec, MachineUsage } from "../driver.ts";
import { MachineError } from "../errors.ts";
import { Attachments } from "../host/attachments.ts";
import { readFate } from "../host/fate.ts";
import { openFifo } from "../host/fifo.ts";
import type { FifoConsole } from "../host/fifo-console.ts";
import { signalProcess } from "../host/kill.ts";
import { endLeftovers } from "../host/leftovers.ts";
import { readProcess } from "../host/process-table.ts";
import { measureUsage } from "../host/usage.ts";
import { settlesWithin } from "../host/wait.ts";
import { watchFate } from "../host/watch.ts";
import { openChannels } from "./attachment.ts";
import { type ExitReport, takeExitReport } from "./exit-report.ts";
import { type MachineFacts, recordFacts } from "./facts.ts";
import { layoutOf } from "./layout.ts";
import type { QemuDriverSettings } from "./options.ts";

/** What of an order a machine still needs when it runs. */
type Kept = Pick<MachineSpec, "id" | "directory">;

const signalStatusMin = 128;

/** A machine that is a QEMU of this host, which does not end with this process. */
export class QemuMachine implements Machine {
  readonly id: string;
  readonly exited: Promise<MachineExit>;
  readonly #directory: string;
  readonly #facts: MachineFacts;
  readonly #killTimeoutMs: number;
  readonly #attachments: Attachments;
  #running = true;
  #asked = false;
  #forced = false;
  #destroyed: Promise<void> | undefined;

  /** @param epoch The latest that has begun already, by another process. */
  constructor(
    settings: QemuDriverSettings,
    { id, directory }: Kept,
    facts: MachineFacts,
    console: FifoConsole,
    epoch = 0,
  ) {
    this.id = id;
    this.#directory = directory;
    this.#facts = facts;
    this.#killTimeoutMs = settings.killTimeoutMs;
    this.#attachments = new Attachments(
      (wanted, signal) => openChannels(directory, facts.token, wanted, signal),
      epoch,
      settings.attachTimeoutMs,
    );
    this.exited = this.#watch(console);
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

  /** Of the machine as a whole; how many processes it has, only its own kernel knows. */
  async usage(): Promise<MachineUsage> {
    const entry = this.#running ? readProcess(this.#facts.identity.pid) : undefined;
    if (entry?.startTicks !== this.#facts.identity.startTicks) return { processes: 0 };
    const { processes: _, ...usage } = await measureUsage([entry]);
    return usage;
  }

  async stop(graceMs: number): Promise<{ forced: boolean }> {
    if (!this.#asked && this.#running) this.#ask();
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

  record(): MachineRecord {
    return { driver: "qemu", id: this.id, directory: this.#directory, facts: recordFacts(this.#facts) };
  }

  /** Tells the init of the machine, which sends the agent a SIGTERM. */
  #ask(): void {
    try {
      const fd = openFifo(layoutOf(this.#directory).controlIn, "write");
      try {
        writeSync(fd, "stop\n");
      } finally {
        closeSync(fd);
      }
    } catch {
      // A machine that can't be asked is killed when its time is over.
    }
  }

  async #destroy(): Promise<void> {
    // What can't be killed now is tried again, and told, with all else that is left.
    await this.#kill().catch(() => undefined);
    this.#attachments.destroy();
    await endLeftovers(this.#directory);
  }

  async #kill(): Promise<void> {
    const { identity } = this.#facts;
    if (this.#running && readFate(identity) === undefined) {
      this.#forced = true;
      signalProcess(identity, "SIGKILL");
    }
    if (await settlesWithin(this.exited, this.#killTimeoutMs)) return;
    throw new MachineError(
      "destroy_failed",
      `Cannot kill machine "${this.id}": process ${identity.pid} is left`,
    );
  }

  async #watch(console: FifoConsole): Promise<MachineExit> {
    await watchFate(this.#facts.identity, console.closed);
    this.#running = false;
    this.#attachments.hangUp();
    const told = takeExitReport(await console.end());
    return { ...this.#describe(told.report), console: told.console };
  }

  #describe(report: ExitReport | undefined): Omit<MachineExit, "console"> {
    if (this.#forced) return { reason: "killed" };
    if (report === undefined) return { reason: this.#asked ? "exited" : "unknown" };
    const { status, outOfMemoryCount } = report;
    if (status > signalStatusMin && outOfMemoryCount > 0) return { reason: "out_of_memory" };
    if (status > signalStatusMin && !this.#asked) return { reason: "killed" };
    return { reason: "exited", code: status };
  }
}
