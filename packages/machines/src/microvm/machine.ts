import { closeSync, writeSync } from "node:fs";
import type { MachineExit, MachineRecord, MachineUsage, SandboxKind } from "../driver.ts";
import { Attachments, type EpochChannels } from "../host/attachments.ts";
import { DetachedMachine, type Kept } from "../host/detached-machine.ts";
import type { ExitStatus } from "../host/exit-status.ts";
import { openFifo } from "../host/fifo.ts";
import type { FifoConsole } from "../host/fifo-console.ts";
import { cleanUpOrphans } from "../host/orphans.ts";
import { readProcess } from "../host/process-table.ts";
import { measureUsage } from "../host/usage.ts";
import type { Egress } from "../network/egress.ts";
import type { NextEpoch } from "./attachment.ts";
import { type ExitReport, takeExitReport } from "./exit-report.ts";
import { type MachineFacts, recordFacts } from "./facts.ts";
import { layoutOf } from "./layout.ts";
import type { MicroVmSettings } from "./settings.ts";

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
export class MicroVm extends DetachedMachine {
  readonly #facts: MachineFacts;
  readonly #monitor: Monitor;

  /** @param epoch The latest that has begun already, by another process. */
  constructor(monitor: Monitor, kept: Kept, facts: MachineFacts, console: FifoConsole, epoch = 0) {
    const { id, directory } = kept;
    const { identity, token } = facts;
    const { attachTimeoutMs, killTimeoutMs } = monitor.settings;
    const attachments = new Attachments(
      (wanted, signal) => monitor.openChannels(id, { directory, token, epoch: wanted, signal }),
      epoch,
      attachTimeoutMs,
    );
    super(kept, { identity, attachments, console, killTimeoutMs });
    this.#monitor = monitor;
    this.#facts = facts;
  }

  /** Of the machine as a whole; how many processes it has, only its own kernel knows. */
  async usage(): Promise<MachineUsage> {
    const entry = this.isRunning ? readProcess(this.#facts.identity.pid) : undefined;
    if (entry?.startTicks !== this.#facts.identity.startTicks) return { processes: 0 };
    const { processes: _, ...usage } = await measureUsage([entry]);
    return usage;
  }

  record(): MachineRecord {
    const { id, directory } = this;
    return { driver: this.#monitor.kind, id, directory, facts: recordFacts(this.#facts) };
  }

  /** Tells the init of the machine, which sends the agent a SIGTERM. */
  protected ask(): void {
    try {
      tellInit(this.directory, "stop");
    } catch {
      // A machine that can't be asked is killed when its time is over.
    }
  }

  /** All that runs in a machine is in its monitor. */
  protected async killOthers(): Promise<number[]> {
    return [];
  }

  protected async cleanUp(): Promise<void> {
    await cleanUp(this.#monitor, this, this.#facts);
  }

  protected describe(_: ExitStatus, console: string): MachineExit {
    const told = takeExitReport(console);
    const words = told.console + (this.#monitor.lastWords?.(this.id) ?? "");
    return { ...this.#reasonOf(told.report), console: words };
  }

  #reasonOf(report: ExitReport | undefined): Omit<MachineExit, "console"> {
    if (report === undefined) return { reason: this.wasAsked ? "exited" : "unknown" };
    const { status, outOfMemoryCount } = report;
    if (status > signalStatusMin && outOfMemoryCount > 0) return { reason: "out_of_memory" };
    if (status > signalStatusMin && !this.wasAsked) return { reason: "killed" };
    return { reason: "exited", code: status };
  }
}

/**
 * Removes everything that a machine held whose process has ended. Takes both steps even when one fails.
 *
 * @throws MachineError `destroy_failed` when something is left.
 */
export async function cleanUp(monitor: Monitor, { id, directory }: Kept, facts: MachineFacts): Promise<void> {
  const steps = await Promise.allSettled([monitor.release(id, facts), cleanUpOrphans(directory)]);
  for (const step of steps) if (step.status === "rejected") throw step.reason;
}
