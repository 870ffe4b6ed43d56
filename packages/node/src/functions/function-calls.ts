/**
 * The calls of one function: a bounded queue in front of its machines, and a time limit on each call. When a machine
 * ends, calls that have not started go to another machine. No call runs twice.
 */
import {
  CallError,
  type CallFailure,
  deliveryBytesMax,
  type ReplyView,
  runTickNs,
} from "@nexengine/protocol/agent";
import { AgentCall } from "../agent-client/calls.ts";
import type { Share } from "../budget/quota.ts";
import type { Machine } from "../machines/machine.ts";
import { FillMarks } from "./fill-marks.ts";
import type { TriggerMessage } from "./triggers/trigger-connection.ts";

/** Interval for checking call deadlines, in ms. */
const sweepMs = 10;
/** Work that an agent gets ahead of time, in ms, so that it never waits for the next call. */
const aheadMs = 5;
const aheadMin = 32;
const aheadMax = 1_024;
/** Weight of the latest run time in the running mean. */
const meanWeight = 1 / 16;
/** Maximum size of all waiting messages of one function. */
const queueBytesMax = 64 * 1024 * 1024;
/** A waiting message is copied out of a buffer that is more than this many times its size. */
const retainedFactorMax = 4;
const nsPerMs = 1e6;
const dollar = "$".charCodeAt(0);

/** The trigger of a call. It hears the outcome exactly once. */
export interface CallTrigger {
  /**
   * Place in the triggers of the deploy, from 0 on; -1 where the subject shows the trigger. Calls without a place cost
   * the agent nothing.
   */
  readonly index: number;
  /** Takes the reply. The view is reused after the call; its buffer is not. */
  replied(call: Call, reply: ReplyView): void;
  failed(call: Call, failure: CallFailure, runTicks: number): void;
}

/** Options for `FunctionCalls`, and callbacks to its owner. */
export interface FunctionCallsOptions {
  callTimeMs: number;
  callQueueTimeMs: number;
  callQueueMax: number;
  deadlineGraceMs: number;
  /** Share of the budget for the bytes of waiting calls. It is closed with the calls. */
  held: Share;
  /** Called when a machine does not answer: it must be replaced. */
  abandon(machine: Machine, why: string): void;
}

/** A message that fired a trigger, and its way through the queue and a machine. */
export class Call extends AgentCall implements TriggerMessage {
  bytes: Buffer;
  subjectStart: number;
  subjectEnd: number;
  replyStart: number;
  replyEnd: number;
  readonly triggerPlace: number;
  /** The delivery is the reply subject of a message from a stream. The trigger of a schedule can extend it. */
  deliveryStart: number;
  deliveryEnd: number;
  headersStart: number;
  payloadStart: number;
  payloadEnd: number;
  readonly trigger: CallTrigger;
  queuedAtMs = 0;
  slots: MachineSlots | undefined;

  /** @param message Its ranges are copied; its buffer is kept, and must not be reused. */
  constructor(trigger: CallTrigger, message: TriggerMessage) {
    super();
    this.trigger = trigger;
    this.bytes = message.bytes;
    this.subjectStart = message.subjectStart;
    this.subjectEnd = message.subjectEnd;
    this.replyStart = message.replyStart;
    this.replyEnd = message.replyEnd;
    this.triggerPlace = trigger.index + 1;
    this.deliveryStart = message.replyStart;
    this.deliveryEnd = trigger.index < 0 ? message.replyStart : deliveryEndOf(message);
    this.headersStart = message.headersStart;
    this.payloadStart = message.payloadStart;
    this.payloadEnd = message.payloadEnd;
  }

  /** Size of the message in bytes, with the few bytes between its parts. */
  get size(): number {
    return this.payloadEnd - this.subjectStart;
  }

  /** Time that an answered call waited before it started, in ms. @param runNs Its run time. */
  queueMs(runNs: number): number {
    return this.answeredAtMs - this.queuedAtMs - runNs / nsPerMs;
  }

  /** Copies the message out of a large buffer, so that a long wait holds little memory. */
  compact(): void {
    const { subjectStart: start, size } = this;
    if (this.bytes.buffer.byteLength <= size * retainedFactorMax) return;
    this.bytes = Buffer.copyBytesFrom(this.bytes, start, size);
    this.subjectStart -= start;
    this.subjectEnd -= start;
    this.replyStart -= start;
    this.replyEnd -= start;
    this.deliveryStart -= start;
    this.deliveryEnd -= start;
    this.headersStart -= start;
    this.payloadStart -= start;
    this.payloadEnd -= start;
  }

  /** Adds a text to the delivery, after a space. */
  addNote(text: string): void {
    const { bytes, subjectStart, subjectEnd, replyStart, replyEnd, headersStart, payloadStart, payloadEnd } =
      this;
    const note = Buffer.from(` ${text}`);
    const parts = [
      bytes.subarray(subjectStart, subjectEnd),
      bytes.subarray(replyStart, replyEnd),
      note,
      bytes.subarray(headersStart, payloadEnd),
    ];
    this.bytes = Buffer.concat(parts);
    this.subjectStart = 0;
    this.subjectEnd = subjectEnd - subjectStart;
    this.replyStart = this.subjectEnd;
    this.replyEnd = this.replyStart + replyEnd - replyStart;
    this.deliveryStart = this.replyStart;
    this.deliveryEnd = this.replyEnd + note.length;
    this.headersStart = this.deliveryEnd;
    this.payloadStart = this.headersStart + payloadStart - headersStart;
    this.payloadEnd = this.headersStart + payloadEnd - headersStart;
  }

  replied(reply: ReplyView): void {
    const { slots } = this;
    const { runTicks } = reply;
    this.slots = undefined;
    this.trigger.replied(this, reply);
    slots?.answered(runTicks);
  }

  failed(failure: CallFailure, runTicks = 0): void {
    const { slots } = this;
    this.slots = undefined;
    this.trigger.failed(this, failure, runTicks);
    slots?.answered(runTicks);
  }
}

/** End of the delivery. Only subjects of the server go to an agent: reply subjects of callers stay with the node. */
function deliveryEndOf({ bytes, replyStart, replyEnd }: TriggerMessage): number {
  const isDelivery = bytes[replyStart] === dollar && replyEnd - replyStart <= deliveryBytesMax;
  return isDelivery ? replyEnd : replyStart;
}

/** One machine of a function, and how many calls it can have. */
class MachineSlots {
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

  /** Maximum number of calls that it can have, running and ahead. */
  get capacity(): number {
    const { ahead } = this;
    return this.concurrency + (ahead < aheadMin ? aheadMin : ahead);
  }

  /** Calls that it does in `aheadMs`. */
  get ahead(): number {
    const ahead = aheadMs / this.#meanRunMs;
    return ahead > aheadMax ? aheadMax : Math.floor(ahead);
  }
}

/** Takes calls of triggers that pull messages. */
export interface CallTaker {
  /** Number of calls that would start soon. */
  readonly room: number;
  /** Calls back, once, when there is room; at the end of this turn if there is some already. */
  whenRoom(listener: () => void): void;
  /** Takes a call. */
  accept(call: Call): void;
}

export class FunctionCalls implements CallTaker {
  /** Whether other copies should take further calls. */
  readonly marks: FillMarks;
  readonly #options: FunctionCallsOptions;
  readonly #slots: MachineSlots[] = [];
  readonly #queue: Call[] = [];
  /** Index of the first waiting call. Those before it have been given to machines. */
  #queueAt = 0;
  #queueBytes = 0;
  #sweep: NodeJS.Timeout | undefined;
  #closed = false;
  #idle: PromiseWithResolvers<void> | undefined;
  readonly #roomListeners: (() => void)[] = [];
  readonly #answered = (): void => this.#dispatch();
  readonly #lookOverSoon = (): void => this.#lookOver();

  constructor(options: FunctionCallsOptions) {
    this.#options = options;
    this.marks = new FillMarks(options.callQueueMax);
  }

  /** Number of accepted calls without an answer. */
  get size(): number {
    let size = this.#waiting;
    for (const { machine } of this.#slots) size += machine.agent.calls.size;
    return size;
  }

  get #waiting(): number {
    return this.#queue.length - this.#queueAt;
  }

  /**
   * Number of calls that would start soon: what a trigger that pulls messages should ask for. A slow function gets none
   * ahead of time, because another copy could take them.
   */
  get room(): number {
    if (this.#closed) return 0;
    let room = -this.#waiting;
    for (const { concurrency, ahead, machine } of this.#slots) {
      const free = concurrency + ahead - machine.agent.calls.size;
      if (free > 0) room += free;
    }
    return room > 0 ? room : 0;
  }

  /** Calls back, once, when there is room; at the end of this turn if there is some already. */
  whenRoom(listener: () => void): void {
    this.#roomListeners.push(listener);
    setImmediate(() => this.#tellRoom());
  }

  #tellRoom(): void {
    if (this.#roomListeners.length === 0 || this.room === 0) return;
    for (const listener of this.#roomListeners.splice(0)) listener();
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
    this.marks.grown(this.#waiting, nowMs - (this.#queue[this.#queueAt] as Call).queuedAtMs);
  }

  /** Counts the bytes of a waiting call. @returns false when they are too many. */
  #hold({ size }: Call): boolean {
    if (this.#queueBytes + size > queueBytesMax || !this.#options.held.take(size)) return false;
    this.#queueBytes += size;
    return true;
  }

  #release({ size }: Call): void {
    this.#queueBytes -= size;
    this.#options.held.give(size);
  }

  /** Adds a machine that is ready for calls. */
  addMachine(machine: Machine, concurrency: number): void {
    this.#slots.push(new MachineSlots(machine, concurrency, this.#answered));
    this.#dispatch();
  }

  /**
   * Removes a machine: its started calls fail, the others wait for another machine.
   *
   * @param why The error text for the callers.
   */
  removeMachine(machine: Machine, why: string): void {
    const at = this.#slots.findIndex((slots) => slots.machine === machine);
    const slots = this.#slots[at];
    if (slots === undefined) return;
    this.#slots.splice(at, 1);
    const { calls } = machine.agent;
    const running = new Set(calls.running(slots.concurrency).map(({ call }) => call));
    const waiting: Call[] = [];
    for (const call of calls.drain() as Call[]) {
      call.slots = undefined;
      if (running.has(call)) {
        call.failed({ code: CallError.stopped, text: why, machineLost: true });
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

  /** Gives waiting calls to machines with free slots. */
  #dispatch(): void {
    if (this.#waiting > 0) this.#giveWaiting();
    if (this.marks.isFull) this.marks.shrunk(this.#waiting);
    if (this.#idle !== undefined && this.size === 0) this.#idle.resolve();
    if (this.#roomListeners.length > 0) this.#tellRoom();
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
    // Not at each call, because it moves the rest of the array.
    if (this.#queueAt === queue.length || this.#queueAt >= aheadMax) {
      queue.splice(0, this.#queueAt);
      this.#queueAt = 0;
    }
  }

  #give(call: Call, nowMs: number): boolean {
    let best: MachineSlots | undefined;
    let bestSize = 0;
    for (const slots of this.#slots) {
      const { size } = slots.machine.agent.calls;
      if (size < slots.capacity && (best === undefined || size < bestSize)) {
        best = slots;
        bestSize = size;
      }
    }
    if (best === undefined || !best.machine.agent.invoke(call, nowMs)) return false;
    call.slots = best;
    this.#startSweep();
    return true;
  }

  #startSweep(): void {
    // After this turn's input: an answer that arrived while the node stood still is not late.
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
    for (const slots of [...this.#slots]) {
      const running = slots.machine.agent.calls.running(slots.concurrency);
      if (running.some(({ sinceMs }) => nowMs - sinceMs > this.#options.callTimeMs))
        void this.#overdue(slots);
      else this.#expireGiven(slots, nowMs);
    }
    // An agent that was slow to read can take calls again.
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

  /** Fails calls that an agent has not started in time. */
  #expireGiven({ machine: { agent }, concurrency }: MachineSlots, nowMs: number): void {
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

  /** Ends calls over their limit. An agent that answers a ping loses those calls only; a silent one is replaced. */
  async #overdue(slots: MachineSlots): Promise<void> {
    if (slots.probing) return;
    slots.probing = true;
    const { machine } = slots;
    // A function that waits for the node does not hang: its host call fails, and the machine goes on.
    if (machine.agent.hostCalls.isBlocking) {
      this.#failOverdue(slots);
      machine.agent.hostCalls.abort(CallError.timedOut, "the function's call is over its limit");
    }
    const alive = await machine.agent.ping(this.#options.deadlineGraceMs);
    slots.probing = false;
    if (!this.#slots.includes(slots)) return;
    this.#failOverdue(slots, !alive);
    if (alive) return;
    const why = "the machine was ended: another call ran into its time limit";
    this.removeMachine(machine, why);
    this.#options.abandon(machine, why);
  }

  #failOverdue({ machine, concurrency }: MachineSlots, isMachineLost = false): void {
    const nowMs = performance.now();
    const { callTimeMs } = this.#options;
    const text = `the call ran longer than ${callTimeMs} ms`;
    const lost = isMachineLost ? ({ machineLost: true } as const) : {};
    const failure = { code: CallError.timedOut, text, ...lost };
    for (const { call, sinceMs } of machine.agent.calls.running(concurrency)) {
      if (nowMs - sinceMs <= callTimeMs) continue;
      machine.agent.cancel(call);
      call.failed(failure, (callTimeMs * nsPerMs) / runTickNs);
    }
  }

  /** Settles when every accepted call is answered. No call may be accepted meanwhile. */
  async idle(): Promise<void> {
    if (this.size === 0) return;
    this.#idle ??= Promise.withResolvers<void>();
    await this.#idle.promise;
  }

  /**
   * Takes no more calls, and finishes those that it has, waiting ones too. After the timeout the others fail.
   *
   * @returns whether all were answered in time.
   */
  async close(timeoutMs: number): Promise<boolean> {
    this.#closed = true;
    let timer: NodeJS.Timeout | undefined;
    if (this.size > 0 && timeoutMs > 0) {
      const idle = this.idle();
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, timeoutMs);
      });
      await Promise.race([idle, late]);
      clearTimeout(timer);
    }
    const drained = this.size === 0;
    for (const { machine } of [...this.#slots]) this.removeMachine(machine, "the function was stopped");
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
