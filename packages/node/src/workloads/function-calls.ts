/**
 * The calls of one function: a bounded queue in front of its machines, a time limit on each call, and what becomes of
 * calls whose machine ends. No call is run twice: only those that had not begun go to another machine.
 */
import { CallError, type CallFailure } from "@nexengine/protocol/internal";
import type { CallHandler } from "../agent-client/calls.ts";
import type { Machine } from "../pool/machine.ts";

/** Calls are looked over for their limits so often while there are any. */
const sweepMs = 10;
/** So many calls go to an agent beyond those that it runs, so that it need not wait for the next one. */
const aheadMax = 32;
/** Waiting payloads of one function, all together. */
const queueBytesMax = 64 * 1024 * 1024;

/** What a caller hears, exactly once. */
export interface CallOutcome {
  /** The reply; a view that holds only during the call. */
  reply(payload: Uint8Array, runNs: number): void;
  failed(failure: CallFailure): void;
}

/** What the owner of the calls is asked for, and told. */
export interface FunctionCallsOptions {
  callTimeMs: number;
  callQueueTimeMs: number;
  callQueueMax: number;
  deadlineGraceMs: number;
  /** The machine does not answer and must be ended; another one is wanted. */
  abandon(machine: Machine, why: string): void;
}

class Call implements CallHandler {
  readonly subject: string;
  readonly payload: Uint8Array;
  readonly outcome: CallOutcome;
  readonly queuedAt: number;
  readonly #owner: Place;
  machine: MachineCalls | undefined;
  id = -1;
  startedAt = 0;

  constructor(owner: Place, subject: string, payload: Uint8Array, outcome: CallOutcome) {
    this.#owner = owner;
    this.subject = subject;
    this.payload = payload;
    this.outcome = outcome;
    this.queuedAt = performance.now();
  }

  started(): void {
    this.startedAt = performance.now();
    this.machine?.running.add(this);
  }

  reply(payload: Buffer): void {
    const runMs = this.startedAt === 0 ? 0 : performance.now() - this.startedAt;
    this.#leave();
    this.outcome.reply(payload, Math.round(runMs * 1e6));
    this.#owner.dispatch();
  }

  failed(failure: CallFailure): void {
    this.#leave();
    this.outcome.failed(failure);
    this.#owner.dispatch();
  }

  #leave(): void {
    this.machine?.running.delete(this);
    this.machine?.all.delete(this);
    this.machine = undefined;
  }
}

interface Place {
  dispatch(): void;
}

/** The calls that one machine has. Sets keep the order in which they began. */
class MachineCalls {
  readonly machine: Machine;
  readonly capacity: number;
  readonly all = new Set<Call>();
  readonly running = new Set<Call>();
  probing = false;

  constructor(machine: Machine, concurrency: number) {
    this.machine = machine;
    this.capacity = concurrency + aheadMax;
  }
}

export class FunctionCalls implements Place {
  readonly #options: FunctionCallsOptions;
  readonly #machines: MachineCalls[] = [];
  #queue: Call[] = [];
  #queueBytes = 0;
  #sweep: NodeJS.Timeout | undefined;
  #closed = false;
  #idle: PromiseWithResolvers<void> | undefined;

  constructor(options: FunctionCallsOptions) {
    this.#options = options;
  }

  /** Calls that were accepted and not answered. */
  get size(): number {
    return this.#machines.reduce((sum, machine) => sum + machine.all.size, this.#queue.length);
  }

  /** Takes a call; the payload must stay as it is until the outcome is known. */
  accept(subject: string, payload: Uint8Array, outcome: CallOutcome): void {
    if (this.#closed) {
      outcome.failed({ code: CallError.stopped, text: "the function was stopped" });
      return;
    }
    const call = new Call(this, subject, payload, outcome);
    if (this.#queue.length === 0 && this.#give(call)) return;
    if (
      this.#queue.length >= this.#options.callQueueMax ||
      this.#queueBytes + payload.length > queueBytesMax
    ) {
      outcome.failed({
        code: CallError.overloaded,
        text: `${this.#queue.length} calls wait for the function already`,
      });
      return;
    }
    this.#queue.push(call);
    this.#queueBytes += payload.length;
    this.#startSweep();
  }

  /** A machine is ready for calls. */
  addMachine(machine: Machine, concurrency: number): void {
    this.#machines.push(new MachineCalls(machine, concurrency));
    this.dispatch();
  }

  /**
   * A machine is gone: what it had begun fails, the rest waits for another one.
   *
   * @param why For the callers.
   */
  removeMachine(machine: Machine, why: string): void {
    const at = this.#machines.findIndex((entry) => entry.machine === machine);
    const entry = this.#machines[at];
    if (entry === undefined) return;
    this.#machines.splice(at, 1);
    machine.agent.takeCalls();
    const waiting: Call[] = [];
    for (const call of entry.all) {
      call.machine = undefined;
      if (call.startedAt > 0) call.outcome.failed({ code: CallError.stopped, text: why });
      else waiting.push(call);
    }
    entry.all.clear();
    entry.running.clear();
    for (const call of waiting) this.#queueBytes += call.payload.length;
    this.#queue = [...waiting, ...this.#queue];
    this.dispatch();
  }

  /** Gives waiting calls to machines that have room. */
  dispatch(): void {
    let given = 0;
    for (const call of this.#queue) {
      if (!this.#give(call)) break;
      this.#queueBytes -= call.payload.length;
      given++;
    }
    if (given > 0) this.#queue.splice(0, given);
    if (this.#idle !== undefined && this.size === 0) this.#idle.resolve();
  }

  #give(call: Call): boolean {
    let best: MachineCalls | undefined;
    for (const entry of this.#machines) {
      if (entry.all.size < entry.capacity && (best === undefined || entry.all.size < best.all.size))
        best = entry;
    }
    if (best === undefined) return false;
    const id = best.machine.agent.invoke(call.subject, call.payload, call);
    if (id < 0) return false;
    call.id = id;
    call.machine = best;
    best.all.add(call);
    this.#startSweep();
    return true;
  }

  #startSweep(): void {
    this.#sweep ??= setInterval(() => this.#lookOver(), sweepMs);
  }

  #lookOver(): void {
    if (this.size === 0) {
      clearInterval(this.#sweep);
      this.#sweep = undefined;
      this.#idle?.resolve();
      return;
    }
    const now = performance.now();
    this.#expireQueued(now);
    for (const entry of [...this.#machines]) {
      const [oldest] = entry.running;
      if (oldest !== undefined && now - oldest.startedAt > this.#options.callTimeMs)
        void this.#overdue(entry);
      else this.#expireGiven(entry, now);
    }
  }

  #expireQueued(now: number): void {
    while (this.#queue[0] !== undefined && this.#isStale(this.#queue[0], now)) {
      const call = this.#queue.shift() as Call;
      this.#queueBytes -= call.payload.length;
      call.outcome.failed(this.#tooLate());
    }
  }

  /** Calls that an agent has and does not begin wait too. */
  #expireGiven(entry: MachineCalls, now: number): void {
    for (const call of entry.all) {
      if (call.startedAt > 0) continue;
      if (!this.#isStale(call, now)) break;
      entry.machine.agent.cancel(call.id);
      call.failed(this.#tooLate());
    }
  }

  #isStale(call: Call, now: number): boolean {
    return now - call.queuedAt > this.#options.callQueueTimeMs;
  }

  #tooLate(): CallFailure {
    const text = `the call waited for its turn longer than ${this.#options.callQueueTimeMs} ms`;
    return { code: CallError.overloaded, text };
  }

  /** A call is over its limit: an agent that lives loses that call only, a silent one is ended. */
  async #overdue(entry: MachineCalls): Promise<void> {
    if (entry.probing) return;
    entry.probing = true;
    const alive = await entry.machine.agent.ping(this.#options.deadlineGraceMs);
    entry.probing = false;
    if (!this.#machines.includes(entry)) return;
    const now = performance.now();
    const text = `the call ran longer than ${this.#options.callTimeMs} ms`;
    for (const call of entry.running) {
      if (now - call.startedAt <= this.#options.callTimeMs) break;
      entry.machine.agent.cancel(call.id);
      call.failed({ code: CallError.timedOut, text });
    }
    if (alive) return;
    const why = "the machine was ended: another call ran into its time limit";
    this.removeMachine(entry.machine, why);
    this.#options.abandon(entry.machine, why);
  }

  /** Settles when every call that was accepted is answered. Nothing may be accepted meanwhile. */
  async idle(): Promise<void> {
    if (this.size === 0) return;
    this.#idle ??= Promise.withResolvers<void>();
    await this.#idle.promise;
  }

  /**
   * Takes no more calls and waits for those that run.
   *
   * @returns whether all were answered in time; what was not is answered now.
   */
  async close(timeoutMs: number): Promise<boolean> {
    this.#closed = true;
    for (const call of this.#queue.splice(0)) {
      call.outcome.failed({ code: CallError.stopped, text: "the function was stopped" });
    }
    this.#queueBytes = 0;
    let timer: NodeJS.Timeout | undefined;
    if (this.size > 0) {
      const idle = this.idle();
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, timeoutMs);
      });
      await Promise.race([idle, late]);
      clearTimeout(timer);
    }
    const drained = this.size === 0;
    for (const entry of [...this.#machines]) this.removeMachine(entry.machine, "the function was stopped");
    for (const call of this.#queue.splice(0)) {
      call.outcome.failed({ code: CallError.stopped, text: "the function was stopped" });
    }
    clearInterval(this.#sweep);
    return drained;
  }
}
