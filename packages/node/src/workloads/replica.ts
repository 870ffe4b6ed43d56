/** One replica of a workload: its current machine, and the next one when that is lost. */
import type { Exited } from "@nexengine/protocol/agent";
import { errorText, NexError } from "@nexengine/protocol/errors";
import type { LogLevel } from "@nexengine/protocol/messages";
import type { Machine, MachineEvents } from "../machines/machine.ts";
import { type RestartBackoff, windowMs } from "./restart.ts";
import { RestartHistory } from "./restart-history.ts";
import type { ReplicaStatus } from "./workload-status.ts";

/** Errors that another attempt does not change. */
const finalCodes: ReadonlySet<string> = new Set([
  "artifact_not_found",
  "artifact_digest_mismatch",
  "artifact_invalid",
  "artifact_too_large",
]);

/** How a workload or a replica ended. */
export interface WorkloadEnd {
  /** Exit status; -1 after a signal, or when none is known. */
  code: number;
  reason: string;
}

/** The parts of a workload that its replica needs. */
export interface ReplicaHost {
  /** Reserves a machine of the workload's template. @throws NexError */
  reserve(): Promise<Machine>;
  /** Starts the workload on a machine. @throws NexError */
  deploy(machine: Machine, events: MachineEvents): Promise<void>;
  /** Called when the machine is gone. */
  removed(machine: Machine, why: string): void;
  log(level: LogLevel, text: string): void;
  /** Whether it restarts after an exit. @param code Exit status; absent when the machine was lost. */
  restarts(code: number | undefined): boolean;
  /** Delays between restarts. */
  readonly backoff: RestartBackoff;
  restarting(why: string, delayMs: number): void;
  /** Whether the old and the new machine may run at once for a moment. */
  readonly mayOverlap: boolean;
  /** Called when the replica has ended by itself and does not restart. */
  ended(end: WorkloadEnd): void;
}

/**
 * - `starting`: it waits for its first machine.
 * - `running`: it runs, and its exit is reported.
 * - `restarting`: its machine is gone, and it waits for another one.
 * - `over`: it was stopped, or has ended by itself.
 */
type ReplicaState = "starting" | "running" | "restarting" | "over";

/** Reason of an exit, in the words that also describe a machine that the kernel has killed. */
const outOfMemory = "out of memory";

export class Replica {
  readonly #host: ReplicaHost;
  #state: ReplicaState = "starting";
  #machine: Machine | undefined;
  /** Settles when the current attempt to start on a machine is over. */
  #placing: Promise<void> = Promise.resolve();
  #restart: NodeJS.Timeout | undefined;
  /** Settles when all replaced machines have ended. */
  #replacedEnded: Promise<unknown> = Promise.resolve();
  /** An exit that was reported before the replica counted as running. */
  #early: (() => void) | undefined;
  #ending: Promise<Exited | undefined> | undefined;
  #restarts = 0;
  #detachedMachine: string | undefined;
  readonly #history = new RestartHistory(windowMs);

  constructor(host: ReplicaHost) {
    this.#host = host;
  }

  get isRunning(): boolean {
    return this.#state === "running";
  }

  /** Id of the machine that goes on without this node. */
  get detachedMachine(): string | undefined {
    return this.#detachedMachine;
  }

  /** Number of restarts. */
  get restarts(): number {
    return this.#restarts;
  }

  get machine(): Machine | undefined {
    return this.#machine;
  }

  status(nowMs: number): ReplicaStatus {
    return { isRunning: this.isRunning, spell: this.#history.spell(nowMs) };
  }

  /** Reserves a machine and starts on it. @throws NexError */
  start(): Promise<void> {
    const placing = this.#place();
    this.#placing = placing.catch(() => undefined);
    return placing;
  }

  /** Reserves a machine and starts on it. @returns why it did not start */
  async tryStart(): Promise<string | undefined> {
    try {
      await this.start();
      return undefined;
    } catch (error) {
      return errorText(error);
    }
  }

  /** Continues on a machine of an earlier node. Called before its agent is heard. */
  take(machine: Machine): MachineEvents {
    this.#machine = machine;
    return this.#events(machine);
  }

  /** Starts on a machine as soon as there is one: its machine did not outlive an earlier node. */
  startAgain(why: string): void {
    const ended = this.#machine?.end(0) ?? Promise.resolve(undefined);
    this.#state = "restarting";
    this.#machine = undefined;
    this.#early = undefined;
    this.#restarts++;
    this.#tellRestart(why, 0);
    this.#placing = this.#restartNow(ended);
  }

  async #place(): Promise<void> {
    const machine = await this.#host.reserve();
    if (this.#state === "over") {
      // The replica was stopped while it had no machine, so nobody else stops this one.
      await machine.end(0);
      throw new NexError("workload_not_started", "Failed to deploy workload: it ended before it ran");
    }
    this.#machine = machine;
    this.#early = undefined;
    await this.#host.deploy(machine, this.#events(machine));
  }

  #events(machine: Machine): MachineEvents {
    return {
      log: (level, text) => this.#host.log(level, text),
      exited: (exit) => this.#exited(machine, exit),
      lost: (why) => this.#lost(machine, why),
    };
  }

  /**
   * Counts as running. An early exit is reported now, after the caller of the deploy has its answer. A replica whose
   * machine was replaced meanwhile runs as soon as it has started on the next one.
   */
  run(): void {
    if (this.#state === "starting") this.#runNow();
  }

  #runNow(): void {
    this.#state = "running";
    if (this.#early === undefined) return;
    setImmediate(() => {
      const early = this.#early;
      this.#early = undefined;
      early?.();
    });
  }

  /** Keeps an exit that is reported too early. @returns whether it was. */
  #isEarly(machine: Machine, again: () => void): boolean {
    const isStarting = this.#state === "starting" || this.#state === "restarting";
    // A kept exit is the first one, also for those that arrive before it is reported.
    if (machine !== this.#machine || (!isStarting && this.#early === undefined)) return false;
    this.#early ??= again;
    return true;
  }

  #exited(machine: Machine, exit: Exited): void {
    if (this.#isEarly(machine, () => this.#exited(machine, exit))) return;
    if (machine !== this.#machine || this.#state !== "running") return;
    const code = exit.code ?? -1;
    // The agent survives the kernel's kill of its service, so the machine's own exit does not tell.
    const isMemory = exit.signal === "SIGKILL" && machine.ranOutOfMemory;
    if (this.#host.restarts(code)) {
      this.#restartLater(machine, isMemory ? outOfMemory : `exited with status ${code}`, code);
      return;
    }
    const signal = exit.signal === undefined ? "" : ` (${exit.signal})`;
    this.#finish({ code, reason: isMemory ? outOfMemory : `status: ${code}${signal}` });
  }

  #lost(machine: Machine, why: string): void {
    const again = (): void => this.#lost(machine, why);
    if (this.#isEarly(machine, again)) {
      // A machine that broke the protocol is not believed how its workload exited.
      this.#early = again;
      return;
    }
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

  /** Ends this machine, if it is still the current one, and starts on another one after a delay. */
  replace(machine: Machine, why: string, delayMs: number): void {
    if (machine !== this.#machine || this.#state === "over") return;
    this.#state = "restarting";
    this.#machine = undefined;
    this.#restarts++;
    this.#host.removed(machine, why);
    this.#tellRestart(why, delayMs);
    const ended = machine.end(0);
    const earlier = this.#replacedEnded;
    this.#replacedEnded = ended.then(() => earlier);
    this.#restart = setTimeout(() => {
      this.#placing = this.#restartNow(ended);
    }, delayMs);
  }

  /** There was no machine, so there is none to end. */
  #tryAgain(why: string): void {
    const delayMs = this.#host.backoff.next(Date.now());
    if (delayMs === undefined) {
      this.#finish({ code: -1, reason: `${why}; restarted too often` });
      return;
    }
    this.#tellRestart(why, delayMs);
    this.#restart = setTimeout(() => {
      this.#placing = this.#restartNow(Promise.resolve());
    }, delayMs);
  }

  #tellRestart(why: string, delayMs: number): void {
    this.#history.add(why, delayMs, Date.now());
    this.#host.restarting(why, delayMs);
  }

  async #restartNow(previousEnded: Promise<unknown>): Promise<void> {
    try {
      if (!this.#host.mayOverlap) await previousEnded;
      if (this.#state !== "restarting") return;
      await this.#place();
      if ((this.#state as ReplicaState) === "restarting") this.#runNow();
    } catch (error) {
      if (this.#state !== "restarting") return;
      const machine = this.#machine;
      if (error instanceof NexError && finalCodes.has(error.code)) {
        this.#finish({ code: -1, reason: error.message });
      } else if (machine !== undefined) this.#restartLater(machine, errorText(error), -1);
      else this.#tryAgain(errorText(error));
    }
  }

  /** Stops the replica for good, with all its machines. Idempotent. @returns how the workload exited, if its agent reported it. */
  end(graceMs: number): Promise<Exited | undefined> {
    this.#ending ??= this.#end(graceMs);
    return this.#ending;
  }

  /** Lets go of its machine, for another node to adopt. A machine that can't outlive this node is ended. */
  async handOver(graceMs: number): Promise<void> {
    this.#state = "over";
    clearTimeout(this.#restart);
    await this.#placing;
    if (this.#machine?.detach() === true) this.#detachedMachine = this.#machine.id;
    else await this.#machine?.end(graceMs);
    await this.#replacedEnded;
    this.#ending ??= Promise.resolve(undefined);
  }

  async #end(graceMs: number): Promise<Exited | undefined> {
    this.#state = "over";
    clearTimeout(this.#restart);
    const exit = await this.#machine?.end(graceMs);
    // A start in progress notices that the replica is over.
    await this.#placing;
    await this.#machine?.end(0);
    await this.#replacedEnded;
    return exit;
  }
}
