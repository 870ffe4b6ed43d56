/** A machine that is a microVM, and what a monitor does for it. */
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

/** Operations that differ between monitors. */
export interface Monitor {
  readonly kind: SandboxKind;
  readonly settings: MicroVmSettings;
  readonly egress: Egress;
  /** @throws MachineError `attach_failed` */
  openChannels(machineId: string, next: NextEpoch): Promise<EpochChannels>;
  /** Called when a machine that another process booted is recovered. */
  adopt?(machineId: string): void;
  /** Returns the monitor's own diagnostics about a machine that has exited, for display; empty after a normal exit. */
  lastWords?(machineId: string): string;
  /**
   * Terminates what is left of a machine and removes its resources outside its directory. Idempotent.
   *
   * @param facts Absent if the node crashed before it wrote them.
   * @throws MachineError `destroy_failed`
   */
  release(machineId: string, facts: MachineFacts | undefined): Promise<void>;
}

const signalStatusMin = 128;

/** Sends a line to the init of a machine. @throws MachineError `attach_failed` */
export function tellInit(directory: string, line: string): void {
  const fd = openFifo(layoutOf(directory).controlIn, "write");
  try {
    writeSync(fd, `${line}\n`);
  } finally {
    closeSync(fd);
  }
}

/** A machine that is a virtual machine monitor process on this host. It outlives this process. */
export class MicroVm extends DetachedMachine {
  readonly #facts: MachineFacts;
  readonly #monitor: Monitor;

  /** @param epoch The latest epoch that another process has started. */
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

  /** Usage of the whole machine. Only the guest's kernel knows the number of processes. */
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

  /** Asks the machine's init to send SIGTERM to the agent. */
  protected ask(): void {
    try {
      tellInit(this.directory, "stop");
    } catch {
      // A machine that can't be asked is killed after the grace period.
    }
  }

  /** All processes of a machine run inside its monitor. */
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
 * Removes everything that an exited machine held. Runs both steps even if one fails.
 *
 * @throws MachineError `destroy_failed` if anything is left.
 */
async function cleanUp(monitor: Monitor, { id, directory }: Kept, facts: MachineFacts): Promise<void> {
  const steps = await Promise.allSettled([monitor.release(id, facts), cleanUpOrphans(directory)]);
  for (const step of steps) if (step.status === "rejected") throw step.reason;
}
