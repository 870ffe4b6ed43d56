import { closeSync, writeSync } from "node:fs";
import type {
  Channels,
  Machine,
  MachineExit,
  MachineRecord,
  MachineSpec,
  MachineUsage,
  SandboxKind,
} from "../driver.ts";
import { MachineError } from "../errors.ts";
import { Attachments, type EpochChannels } from "../host/attachments.ts";
import { readFate } from "../host/fate.ts";
import { openFifo } from "../host/fifo.ts";
import type { FifoConsole } from "../host/fifo-console.ts";
import { signalProcess } from "../host/kill.ts";
import { endLeftovers } from "../host/leftovers.ts";
import { readProcess } from "../host/process-table.ts";
import { measureUsage } from "../host/usage.ts";
import { settlesWithin } from "../host/wait.ts";
import { watchFate } from "../host/watch.ts";
import type { Egress } from "../network/egress.ts";
import type { NextEpoch } from "./attachment.ts";
import { type ExitReport, takeExitReport } from "./exit-report.ts";
import { type MachineFacts, recordFacts } from "./facts.ts";
import { layoutOf } from "./layout.ts";
import type { MicroVmSettings } from "./settings.ts";

/** What of an order a machine still needs when it runs. */
type Kept = Pick<MachineSpec, "id" | "directory">;

/** What differs between the monitors of microVMs. */
export interface Monitor {
  readonly kind: SandboxKind;
  readonly settings: MicroVmSettings;
  readonly egress: Egress;
  /** @throws MachineError `attach_failed` */
  openChannels(machineId: string, next: NextEpoch): Promise<EpochChannels>;
  /** A machine was found that another process booted. */
  adopt?(machineId: string): void;
  /** What the monitor itself tells of a machine that has ended, for people; nothing where all was well. */
  lastWords?(machineId: string): string;
  /**
   * Ends what still runs of a machine, and removes what it holds beside its directory. Idempotent.
   *
   * @param facts Absent when its node died before they were written down.
   * @throws MachineError `destroy_failed`
   */
  release(machineId: string, facts: MachineFacts | undefined): Promise<void>;
}

const signalStatusMin = 128;

/** Tells the init of a machine something. @throws MachineError `attach_failed` */
export function tellInit(directory: string, line: string): void {
  const fd = openFifo(layoutOf(directory).controlIn, "write");
  try {
    writeSync(fd, `${line}\n`);
  } finally {
    closeSync(fd);
  }
}

/** A machine that is a virtual machine monitor of this host, which does not end with this process. */
export class MicroVm implements Machine {
  readonly id: string;
  readonly exited: Promise<MachineExit>;
  readonly directory: string;
  readonly #facts: MachineFacts;
  readonly #monitor: Monitor;
  readonly #attachments: Attachments;
  #running = true;
  #asked = false;
  #forced = false;
  #destroyed: Promise<void> | undefined;

  /** @param epoch The latest that has begun already, by another process. */
  constructor(
    monitor: Monitor,
    { id, directory }: Kept,
    facts: MachineFacts,
    console: FifoConsole,
    epoch = 0,
  ) {
    this.id = id;
    this.#monitor = monitor;
    this.directory = directory;
    this.#facts = facts;
    this.#attachments = new Attachments(
      (wanted, signal) => monitor.openChannels(id, { directory, token: facts.token, epoch: wanted, signal }),
      epoch,
      monitor.settings.attachTimeoutMs,
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
    return {
      driver: this.#monitor.kind,
      id: this.id,
      directory: this.directory,
      facts: recordFacts(this.#facts),
    };
  }

  /** Tells the init of the machine, which sends the agent a SIGTERM. */
  #ask(): void {
    try {
      tellInit(this.directory, "stop");
    } catch {
      // A machine that can't be asked is killed when its time is over.
    }
  }

  async #destroy(): Promise<void> {
    // What can't be killed now is tried again, and told, with all else that is left.
    await this.#kill().catch(() => undefined);
    this.#attachments.destroy();
    await removeRemains(this.#monitor, this, this.#facts);
  }

  async #kill(): Promise<void> {
    const { identity } = this.#facts;
    if (this.#running && readFate(identity) === undefined) {
      this.#forced = true;
      signalProcess(identity, "SIGKILL");
    }
    if (await settlesWithin(this.exited, this.#monitor.settings.killTimeoutMs)) return;
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
    const ownWords = this.#monitor.lastWords?.(this.id) ?? "";
    return { ...this.#describe(told.report), console: told.console + ownWords };
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

/**
 * Removes everything that a machine held whose process has ended. Takes both steps even when one fails.
 *
 * @throws MachineError `destroy_failed` when something is left.
 */
export async function removeRemains(
  monitor: Monitor,
  { id, directory }: Kept,
  facts: MachineFacts,
): Promise<void> {
  const steps = await Promise.allSettled([monitor.release(id, facts), endLeftovers(directory)]);
  for (const step of steps) if (step.status === "rejected") throw step.reason;
}
