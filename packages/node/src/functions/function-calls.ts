/**
 * The calls of one function: a bounded queue in front of its machines, a time limit on each call, and what becomes of
 * calls whose machine ends. No call is run twice: only those that had not begun go to another machine.
 */
import { CallError, type CallFailure, runTickNs } from "@nexengine/protocol/internal";
import { AgentCall } from "../agent-client/calls.ts";
import type { Share } from "../budget/quota.ts";
import type { Machine } from "../machines/machine.ts";

/** Calls are looked over for their limits so often while there are any. */
const sweepMs = 10;
/** An agent is given calls for so long a time beyond those that it runs, so that it need not wait for the next one. */
const aheadMs = 5;
const aheadMin = 32;
const aheadMax = 1_024;
/** A mean of run times gives its latest value this weight. */
const meanWeight = 1 / 16;
/** Waiting messages of one function, all together. */
const queueBytesMax = 64 * 1024 * 1024;
/** A waiting message that holds a buffer of more than so many times its own size is copied out of it. */
const retainedFactorMax = 4;
const nsPerMs = 1e6;

/** The trigger of a call, which hears what becomes of it, exactly once. */
export interface CallTrigger {
  /**
   * The reply, a place in a buffer that stays as it is; headers end where the payload begins.
   *
   * @param runTicks How long the function's code ran, in units of `runTickNs`, as its agent says.
   */
  replied(
    call: Call,
    bytes: Buffer,
    headersStart: number,
    payloadStart: number,
    payloadEnd: number,
    runTicks: number,
  ): void;
  failed(call: Call, failure: CallFailure, runTicks: number): void;
}

/** What the owner of the calls is asked for, and told. */
export interface FunctionCallsOptions {
  callTimeMs: number;
  callQueueTimeMs: number;
  callQueueMax: number;
  deadlineGraceMs: number;
  /** Counts the bytes of waiting calls; given back when the calls are closed. */
  held: Share;
  /** The machine does not answer and must be ended; another one is wanted. */
  abandon(machine: Machine, why: string): void;
}

/** A message that fired a trigger: one buffer, which must stay as it is, and where in it the parts are. */
export class Call extends AgentCall {
  bytes: Buffer;
  subjectStart: number;
  subjectEnd: number;
  replyStart: number;
  replyEnd: number;
  headersStart: number;
  payloadStart: number;
  payloadEnd: number;
  readonly trigger: CallTrigger;
  queuedAtMs = 0;
  place: MachinePlace | undefined;

  /** @param replyEnd The place where the reply subject starts, when there is none. */
  constructor(
    trigger: CallTrigger,
    bytes: Buffer,
    subjectStart: number,
    subjectEnd: number,
    replyStart: number,
    replyEnd: number,
    headersStart: number,
    payloadStart: number,
    payloadEnd: number,
  ) {
    super();
    this.trigger = trigger;
    this.bytes = bytes;
    this.subjectStart = subjectStart;
    this.subjectEnd = subjectEnd;
    this.replyStart = replyStart;
    this.replyEnd = replyEnd;
    this.headersStart = headersStart;
    this.payloadStart = payloadStart;
    this.payloadEnd = payloadEnd;
  }

  /** Bytes of the message. The parts follow each other, with little between them. */
  get size(): number {
    return this.payloadEnd - this.subjectStart;
  }

  /** How long it waited until it began, given how long it ran, if it is over now. */
  queueMs(runNs: number): number {
    return this.answeredAtMs - this.queuedAtMs - runNs / nsPerMs;
  }

  /** Holds no more memory than the message needs, for a wait that may be long. */
  compact(): void {
    const { subjectStart: start, size } = this;
    if (this.bytes.buffer.byteLength <= size * retainedFactorMax) return;
    this.bytes = Buffer.copyBytesFrom(this.bytes, start, size);
    this.subjectStart -= start;
    this.subjectEnd -= start;
    this.replyStart -= start;
    this.replyEnd -= start;
    this.headersStart -= start;
    this.payloadStart -= start;
    this.payloadEnd -= start;
  }

  replied(
    bytes: Buffer,
    headersStart: number,
    payloadStart: number,
    payloadEnd: number,
    runTicks: number,
  ): void {
    const { place } = this;
    this.place = undefined;
    this.trigger.replied(this, bytes, headersStart, payloadStart, payloadEnd, runTicks);
    place?.answered(runTicks);
  }

  failed(failure: CallFailure, runTicks = 0): void {
    const { place } = this;
    this.place = undefined;
    this.trigger.failed(this, failure, runTicks);
    place?.answered(runTicks);
  }
}

/** One machine of a function, as its calls see it. */
class MachinePlace {
  readonly machine: Machine;
  readonly concurrency: number;
  readonly #answered: () => void;
  probing = false;
  #meanRunMs = aheadMs;

  constructor(machine: Machine, concurrency: number, answered: () => void) {
    this.machine = machine;
    this.concurrency = concurrency;
    this.#answered = answered;
  }

  answered(runTicks: number): void {
    const runMs = (runTicks * runTickNs) / nsPerMs;
    this.#meanRunMs += (runMs - this.#meanRunMs) * meanWeight;
    this.#answered();
  }

  /** How many calls it may have. */
  get capacity(): number {
    const ahead = aheadMs / this.#meanRunMs;
    return this.concurrency + (ahead < aheadMin ? aheadMin : ahead > aheadMax ? aheadMax : Math.floor(ahead));
  }
}

export class FunctionCalls {
  readonly #options: FunctionCallsOptions;
  readonly #places: MachinePlace[] = [];
  readonly #queue: Call[] = [];
  /** Where in the queue its first call is; those before have been given. */
  #queueAt = 0;
  #queueBytes = 0;
  #sweep: NodeJS.Timeout | undefined;
  #closed = false;
  #idle: PromiseWithResolvers<void> | undefined;
  readonly #answered = (): void => this.#dispatch();
  readonly #lookOverSoon = (): void => this.#lookOver();

  constructor(options: FunctionCallsOptions) {
    this.#options = options;
  }

  /** Calls that were accepted and not answered. */
  get size(): number {
    let size = this.#waiting;
    for (const { machine } of this.#places) size += machine.agent.calls.size;
    return size;
  }

  get #waiting(): number {
    return this.#queue.length - this.#queueAt;
  }

  /** Takes a call. */
  accept(call: Call): void {
    if (this.#closed) {
      call.failed({ code: CallError.stopped, text: "the function was stopped" });
      return;
    }
    const nowMs = performance.now();
    call.queuedAtMs = nowMs;
    if (this.#waiting === 0 && this.#give(call, nowMs)) return;
    if (this.#waiting >= this.#options.callQueueMax || !this.#hold(call)) {
      const text = `${this.#waiting} calls wait for the function already`;
      call.failed({ code: CallError.overloaded, text });
      return;
    }
    call.compact();
    this.#queue.push(call);
    this.#startSweep();
  }

  /** Counts a call that waits. @returns false when there is no room for its bytes. */
  #hold({ size }: Call): boolean {
    if (this.#queueBytes + size > queueBytesMax || !this.#options.held.take(size)) return false;
    this.#queueBytes += size;
    return true;
  }

  #release({ size }: Call): void {
    this.#queueBytes -= size;
    this.#options.held.give(size);
  }

  /** A machine is ready for calls. */
  addMachine(machine: Machine, concurrency: number): void {
    this.#places.push(new MachinePlace(machine, concurrency, this.#answered));
    this.#dispatch();
  }

  /**
   * A machine is gone: what it had begun fails, the rest waits for another one.
   *
   * @param why For the callers.
   */
  removeMachine(machine: Machine, why: string): void {
    const at = this.#places.findIndex((place) => place.machine === machine);
    const place = this.#places[at];
    if (place === undefined) return;
    this.#places.splice(at, 1);
    const { calls } = machine.agent;
    const running = new Set(calls.running(place.concurrency).map(({ call }) => call));
    const waiting: Call[] = [];
    for (const call of calls.drain() as Call[]) {
      call.place = undefined;
      if (running.has(call)) {
        call.failed({ code: CallError.stopped, text: why });
      } else if (this.#hold(call)) {
        call.compact();
        waiting.push(call);
      } else {
        call.failed({
          code: CallError.overloaded,
          text: "there is no room for the call while it waits for a machine",
        });
      }
    }
    this.#queue.splice(0, this.#queueAt, ...waiting);
    this.#queueAt = 0;
    this.#dispatch();
  }

  /** Gives waiting calls to machines that have room. */
  #dispatch(): void {
    if (this.#waiting > 0) this.#giveWaiting();
    if (this.#idle !== undefined && this.size === 0) this.#idle.resolve();
  }

  #giveWaiting(): void {
    const nowMs = performance.now();
    const queue = this.#queue;
    while (this.#queueAt < queue.length) {
      const call = queue[this.#queueAt] as Call;
      if (!this.#give(call, nowMs)) break;
      this.#queueAt++;
      this.#release(call);
    }
    // Not at each call: it moves the rest.
    if (this.#queueAt === queue.length || this.#queueAt >= aheadMax) {
      queue.splice(0, this.#queueAt);
      this.#queueAt = 0;
    }
  }

  #give(call: Call, nowMs: number): boolean {
    let best: MachinePlace | undefined;
    let bestSize = 0;
    for (const place of this.#places) {
      const { size } = place.machine.agent.calls;
      if (size < place.capacity && (best === undefined || size < bestSize)) {
        best = place;
        bestSize = size;
      }
    }
    if (best === undefined || !best.machine.agent.invoke(call, nowMs)) return false;
    call.place = best;
    this.#startSweep();
    return true;
  }

  #startSweep(): void {
    // After the sockets of this turn: an answer that has come while the node did not run is not late.
    this.#sweep ??= setInterval(() => setImmediate(this.#lookOverSoon), sweepMs);
  }

  #lookOver(): void {
    if (this.#sweep === undefined) return;
    if (this.size === 0) {
      clearInterval(this.#sweep);
      this.#sweep = undefined;
      this.#idle?.resolve();
      return;
    }
    const nowMs = performance.now();
    this.#expireQueued(nowMs);
    for (const place of [...this.#places]) {
      const running = place.machine.agent.calls.running(place.concurrency);
      if (running.some(({ sinceMs }) => nowMs - sinceMs > this.#options.callTimeMs))
        void this.#overdue(place);
      else this.#expireGiven(place, nowMs);
    }
    // An agent that was behind with reading may take calls again.
    this.#dispatch();
  }

  #expireQueued(nowMs: number): void {
    for (let call = this.#queue[this.#queueAt]; call !== undefined; call = this.#queue[this.#queueAt]) {
      if (!this.#isStale(call, nowMs)) return;
      this.#queueAt++;
      this.#release(call);
      call.failed(this.#tooLate());
    }
  }

  /** Calls that an agent has and does not begin wait too. */
  #expireGiven({ machine: { agent }, concurrency }: MachinePlace, nowMs: number): void {
    const last = agent.calls.running(concurrency).at(-1)?.call;
    let call = (last === undefined ? agent.calls.oldest : last.next) as Call | undefined;
    while (call !== undefined && this.#isStale(call, nowMs)) {
      const next = call.next as Call | undefined;
      agent.cancel(call);
      call.failed(this.#tooLate());
      call = next;
    }
  }

  #isStale(call: Call, nowMs: number): boolean {
    return nowMs - call.queuedAtMs > this.#options.callQueueTimeMs;
  }

  #tooLate(): CallFailure {
    const text = `the call waited for its turn longer than ${this.#options.callQueueTimeMs} ms`;
    return { code: CallError.overloaded, text };
  }

  /** A call is over its limit: an agent that lives loses that call only, a silent one is ended. */
  async #overdue(place: MachinePlace): Promise<void> {
    if (place.probing) return;
    place.probing = true;
    const { machine } = place;
    // Code that waits for the node is no reason to end the machine: its call is over, and it goes on.
    if (machine.agent.hostCalls.isBlocking) {
      this.#failOverdue(place);
      machine.agent.hostCalls.abort(CallError.timedOut, "the function's call is over its limit");
    }
    const alive = await machine.agent.ping(this.#options.deadlineGraceMs);
    place.probing = false;
    if (!this.#places.includes(place)) return;
    this.#failOverdue(place);
    if (alive) return;
    const why = "the machine was ended: another call ran into its time limit";
    this.removeMachine(machine, why);
    this.#options.abandon(machine, why);
  }

  #failOverdue({ machine, concurrency }: MachinePlace): void {
    const nowMs = performance.now();
    const { callTimeMs } = this.#options;
    const failure = { code: CallError.timedOut, text: `the call ran longer than ${callTimeMs} ms` };
    for (const { call, sinceMs } of machine.agent.calls.running(concurrency)) {
      if (nowMs - sinceMs <= callTimeMs) continue;
      machine.agent.cancel(call);
      call.failed(failure, (callTimeMs * nsPerMs) / runTickNs);
    }
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
    this.#failQueued();
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
    for (const { machine } of [...this.#places]) this.removeMachine(machine, "the function was stopped");
    this.#failQueued();
    this.#options.held.close();
    clearInterval(this.#sweep);
    return drained;
  }

  #failQueued(): void {
    const waiting = this.#queue.splice(0).slice(this.#queueAt);
    this.#queueAt = 0;
    for (const call of waiting) this.#release(call);
    for (const call of waiting) call.failed({ code: CallError.stopped, text: "the function was stopped" });
  }
}
