/** One of a workload's machines: the one that runs, and the next one when that is lost. */
import { type Exited, errorText, type LogLevel, NexError } from "@nexengine/protocol/internal";
import type { Machine, MachineEvents } from "../machines/machine.ts";
import type { RestartBackoff } from "./restart.ts";

/** How a workload or a replica of it ended. */
export interface WorkloadEnd {
  /** The exit status; -1 for a signal, or where none is known. */
  code: number;
  reason: string;
}

/** What a replica asks of its workload, and tells it. */
export interface ReplicaHost {
  /** Gives a machine of the workload's template. @throws NexError */
  reserve(): Promise<Machine>;
  /** Starts the workload there. @throws NexError */
  deploy(machine: Machine, events: MachineEvents): Promise<void>;
  /** The machine is not there any more. */
  removed(machine: Machine, why: string): void;
  log(level: LogLevel, text: string): void;
  /** Is it started again after this? @param code The exit status; absent when its machine was lost. */
  restarts(code: number | undefined): boolean;
  /** When it is. */
  readonly backoff: RestartBackoff;
  restarting(why: string, delayMs: number): void;
  /** Two of it may run at once for a moment. */
  readonly mayOverlap: boolean;
  /** It has ended by itself and does not come again. */
  ended(end: WorkloadEnd): void;
}

/**
 * - `starting`: its first machine is on the way.
 * - `running`: it counts as running, and its end is told.
 * - `restarting`: its machine is gone and it waits for another one.
 * - `over`: it was ended, or has ended by itself.
 */
type ReplicaState = "starting" | "running" | "restarting" | "over";

export class Replica {
  readonly #host: ReplicaHost;
  #state: ReplicaState = "starting";
  #machine: Machine | undefined;
  /** A machine that is on the way. */
  #placing: Promise<void> = Promise.resolve();
  #restart: NodeJS.Timeout | undefined;
  /** What its machine told of an end before it counted as running. */
  #early: (() => void) | undefined;
  #ending: Promise<Exited | undefined> | undefined;
  #restarts = 0;

  constructor(host: ReplicaHost) {
    this.#host = host;
  }

  get isRunning(): boolean {
    return this.#state === "running";
  }

  /** How often its machine was replaced. */
  get restarts(): number {
    return this.#restarts;
  }

  get machine(): Machine | undefined {
    return this.#machine;
  }

  /** Takes a machine and starts there. @throws NexError */
  start(): Promise<void> {
    const placing = this.#place();
    this.#placing = placing.catch(() => undefined);
    return placing;
  }

  async #place(): Promise<void> {
    const machine = await this.#host.reserve();
    if (this.#state === "over") {
      // It was ended while it had none, so nobody else ends this one.
      await machine.end(0);
      throw new NexError("workload_not_started", "Failed to deploy workload: it ended before it ran");
    }
    this.#machine = machine;
    this.#early = undefined;
    await this.#host.deploy(machine, {
      log: (level, text) => this.#host.log(level, text),
      exited: (exit) => this.#exited(machine, exit),
      lost: (why) => this.#lost(machine, why),
    });
  }

  /** Counts as running; what it has told already is told now, after whoever waits for the start has heard of it. */
  run(): void {
    if (this.#state === "over") return;
    this.#state = "running";
    const early = this.#early;
    this.#early = undefined;
    if (early !== undefined) setImmediate(early);
  }

  /** @returns whether that must wait until it runs; then it is told again. */
  #isEarly(machine: Machine, again: () => void): boolean {
    if (machine !== this.#machine || (this.#state !== "starting" && this.#state !== "restarting"))
      return false;
    this.#early ??= again;
    return true;
  }

  #exited(machine: Machine, exit: Exited): void {
    if (this.#isEarly(machine, () => this.#exited(machine, exit))) return;
    if (machine !== this.#machine || this.#state !== "running") return;
    const code = exit.code ?? -1;
    if (this.#host.restarts(code)) {
      this.#restartLater(machine, `exited with status ${code}`, code);
      return;
    }
    const signal = exit.signal === undefined ? "" : ` (${exit.signal})`;
    this.#finish({ code, reason: `status: ${code}${signal}` });
  }

  #lost(machine: Machine, why: string): void {
    if (this.#isEarly(machine, () => this.#lost(machine, why))) return;
    if (machine !== this.#machine || this.#state !== "running") return;
    if (this.#host.restarts(undefined)) this.#restartLater(machine, why, -1);
    else this.#finish({ code: -1, reason: why });
  }

  #finish(end: WorkloadEnd): void {
    void this.end(0);
    this.#host.ended(end);
  }

  #restartLater(machine: Machine, why: string, code: number): void {
    const delayMs = this.#host.backoff.next(Date.now());
    if (delayMs === undefined) this.#finish({ code, reason: `${why}; restarted too often` });
    else this.replace(machine, why, delayMs);
  }

  /** Ends its machine, if it is still this one, and takes another one after a time. */
  replace(machine: Machine, why: string, delayMs: number): void {
    if (machine !== this.#machine || this.#state === "over") return;
    this.#state = "restarting";
    this.#machine = undefined;
    this.#restarts++;
    this.#host.removed(machine, why);
    this.#host.restarting(why, delayMs);
    const ended = machine.end(0);
    this.#restart = setTimeout(() => {
      this.#placing = this.#restartNow(ended);
    }, delayMs);
  }

  async #restartNow(formerEnded: Promise<unknown>): Promise<void> {
    try {
      if (!this.#host.mayOverlap) await formerEnded;
      if (this.#state !== "restarting") return;
      await this.#place();
      if ((this.#state as ReplicaState) === "restarting") this.run();
    } catch (error) {
      if (this.#state !== "restarting") return;
      const machine = this.#machine;
      if (machine !== undefined) this.#restartLater(machine, errorText(error), -1);
      else this.#finish({ code: -1, reason: errorText(error) });
    }
  }

  /** Ends it for good; idempotent. @returns how the workload ended there, where its agent said so. */
  end(graceMs: number): Promise<Exited | undefined> {
    this.#ending ??= this.#end(graceMs);
    return this.#ending;
  }

  async #end(graceMs: number): Promise<Exited | undefined> {
    this.#state = "over";
    clearTimeout(this.#restart);
    const exit = await this.#machine?.end(graceMs);
    // What was on the way finds that it is over.
    await this.#placing;
    await this.#machine?.end(0);
    return exit;
  }
}
