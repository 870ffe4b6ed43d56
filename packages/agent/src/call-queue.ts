/**
 * The calls of a function in its agent: begun in the order in which they came, as many at once as may overlap.
 *
 * Whoever ends a silent agent must know which calls have begun, because no call is run twice. A frame for each would cost
 * more than most calls do. So the node counts the next few in without a word, as many as the agent has said, which are
 * those that the function can be expected to finish in `windowMs`; and before a further one begins, the answers go out.
 */
import {
  CallError,
  type CallFailure,
  callWindowMax,
  copyBytes,
  type Exited,
  type MessageView,
  runTickNs,
} from "@nexengine/protocol/agent";
import type { ProviderHost, RunningWorkload } from "./provider.ts";

const windowMs = 0.2;
/** Replies wait no longer for others. */
const unsentMsMax = 1;
/** A mean of run times gives its latest value this weight. */
const meanWeight = 1 / 16;
/** A value that is larger than so many times the mean, and a little, counts as that. */
const spikeFactor = 2;
const meanMsMin = 0.01;
const ticksPerMs = 1e6 / runTickNs;
/** Given calls before this place are let go of together. */
const spentMax = 1_024;
const noBytes = new Uint8Array(0);

/** A call that the agent has. */
export class Call implements MessageView {
  readonly id: number;
  readonly sequence: number;
  readonly subject: string;
  readonly bytes: Uint8Array;
  readonly subjectStart: number;
  readonly subjectEnd: number;
  readonly triggerPlace: number;
  readonly deliveryStart: number;
  readonly deliveryEnd: number;
  readonly headersStart: number;
  readonly payloadStart: number;
  readonly payloadEnd: number;
  begunAtMs = 0;
  /** Nobody waits for it any longer, or it was answered. */
  over = false;

  constructor(id: number, sequence: number, subject: string, view: MessageView) {
    this.id = id;
    this.sequence = sequence;
    this.subject = subject;
    this.bytes = view.bytes;
    this.subjectStart = view.subjectStart;
    this.subjectEnd = view.subjectEnd;
    this.triggerPlace = view.triggerPlace;
    this.deliveryStart = view.deliveryStart;
    this.deliveryEnd = view.deliveryEnd;
    this.headersStart = view.headersStart;
    this.payloadStart = view.payloadStart;
    this.payloadEnd = view.payloadEnd;
  }

  get payloadBytes(): number {
    return this.payloadEnd - this.payloadStart;
  }

  /** Copies the payload, which belongs to the channel. */
  copyPayload(to: Uint8Array): void {
    copyBytes(this.bytes, this.payloadStart, this.payloadEnd, to, 0);
  }

  /** The block of headers, as text; `undefined` without any. */
  get headers(): string | undefined {
    const { headersStart, payloadStart } = this;
    return headersStart === payloadStart ? undefined : this.#text(headersStart, payloadStart);
  }

  /** The ack subject of a stream's message, and what may follow it. */
  get delivery(): string {
    return this.#text(this.deliveryStart, this.deliveryEnd);
  }

  /** The payload as text. */
  get payloadText(): string {
    return this.#text(this.payloadStart, this.payloadEnd);
  }

  #text(start: number, end: number): string {
    const { bytes } = this;
    return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString();
  }
}

/** Runs the calls. */
export interface CallRunner {
  /** Runs a call; `reply` or `fail` of the queue is called then or later. It must not throw. */
  run(call: Call): void;
  /** The call is over, answered or given up. */
  ended?(): void;
}

/** A function, as far as its agent asks for calls of it; `runner` is what differs between the kinds. */
export class CallQueue implements RunningWorkload {
  readonly concurrency: number;
  readonly #host: ProviderHost;
  readonly #runner: CallRunner;
  readonly #waiting: Call[] = [];
  #waitingAt = 0;
  readonly #running = new Map<number, Call>();
  #looping = false;
  #scheduled = false;
  /** Maximum number of calls that may start before the node hears of them. */
  #window = 1;
  /** The node knows of the calls up to this one that they have begun. */
  #known = 0;
  /** The last call that has begun, and the last that was answered. */
  #begun = 0;
  #answered = 0;
  #sentAtMs = 0;
  #nowMs = 0;
  #meanRunMs = windowMs;
  #subject = "";
  #subjectBytes: Uint8Array = noBytes;

  constructor(host: ProviderHost, concurrency: number, runner: CallRunner) {
    this.#host = host;
    this.concurrency = concurrency;
    this.#runner = runner;
  }

  /** Takes a call, which begins at the end of the batch at the soonest. */
  invoke(id: number, sequence: number, view: MessageView): void {
    this.#waiting.push(new Call(id, sequence, this.#subjectOf(view), view));
  }

  /** Most calls come on the same subject as the one before. */
  #subjectOf({ bytes, subjectStart, subjectEnd }: MessageView): string {
    const known = this.#subjectBytes;
    let same = known.length === subjectEnd - subjectStart;
    for (let at = 0; same && at < known.length; at++) same = known[at] === bytes[subjectStart + at];
    if (!same) {
      this.#subjectBytes = bytes.slice(subjectStart, subjectEnd);
      this.#subject = Buffer.from(this.#subjectBytes).toString();
    }
    return this.#subject;
  }

  /** Begins what may begin, and lets the answers go out. */
  batchEnd(): void {
    if (this.#waiting.length > this.#waitingAt) this.#run();
  }

  /** Nobody waits for this call any longer. */
  cancel(id: number): void {
    const running = this.#running.get(id);
    if (running !== undefined) {
      this.#end(running);
      return;
    }
    const at = this.#waiting.findIndex((call, place) => place >= this.#waitingAt && call.id === id);
    if (at >= 0) this.#waiting.splice(at, 1);
  }

  /** Drops all calls, and counts from the start. Code that still runs for a dropped call answers nobody. */
  reset(): void {
    this.#waiting.length = 0;
    this.#waitingAt = 0;
    for (const call of [...this.#running.values()]) {
      call.over = true;
      this.#running.delete(call.id);
      this.#runner.ended?.();
    }
    this.#known = 0;
    this.#begun = 0;
    this.#answered = 0;
    this.#window = 1;
  }

  /** Answers what has not begun. */
  async stop(): Promise<Exited> {
    for (const call of this.#waiting.splice(0).slice(this.#waitingAt)) {
      this.#host.failure(call.id, { code: CallError.stopped, text: "the function was stopped" }, 0);
    }
    this.#waitingAt = 0;
    return { code: 0 };
  }

  reply(call: Call, payload: Uint8Array, headers: Uint8Array = noBytes): void {
    if (call.over) return;
    this.#host.result(call.id, this.#runTicks(call), payload, headers);
    this.#end(call);
  }

  fail(call: Call, failure: CallFailure): void {
    if (call.over) return;
    this.#host.failure(call.id, failure, this.#runTicks(call));
    this.#end(call);
  }

  #runTicks(call: Call): number {
    if (!isAtMost(call.sequence, this.#answered)) this.#answered = call.sequence;
    const nowMs = performance.now();
    this.#nowMs = nowMs;
    const runMs = nowMs - call.begunAtMs;
    // One that was interrupted for long says nothing of the others.
    const counted = Math.min(runMs, spikeFactor * this.#meanRunMs + meanMsMin);
    this.#meanRunMs += (counted - this.#meanRunMs) * meanWeight;
    return Math.min(Math.round(runMs * ticksPerMs), 0xffff_ffff);
  }

  #end(call: Call): void {
    call.over = true;
    this.#running.delete(call.id);
    this.#runner.ended?.();
    if (this.#looping || this.#scheduled || this.#waiting.length === this.#waitingAt) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#run();
    });
  }

  #run(): void {
    if (this.#looping) return;
    this.#looping = true;
    const waiting = this.#waiting;
    this.#nowMs = performance.now();
    this.#sentAtMs = this.#nowMs;
    while (this.#waitingAt < waiting.length && this.#running.size < this.concurrency) {
      const call = waiting[this.#waitingAt] as Call;
      if (!isAtMost(call.sequence, this.#known + this.#window)) this.#send();
      this.#waitingAt++;
      this.#begun = call.sequence;
      call.begunAtMs = this.#nowMs;
      this.#running.set(call.id, call);
      this.#runner.run(call);
      if (this.#nowMs - this.#sentAtMs > unsentMsMax) this.#send();
    }
    if (this.#waitingAt === waiting.length || this.#waitingAt > spentMax) {
      waiting.splice(0, this.#waitingAt);
      this.#waitingAt = 0;
    }
    this.#looping = false;
    this.#send();
  }

  /** Lets the node know what has begun, answered or not. */
  #send(): void {
    const host = this.#host;
    this.#fitWindow();
    if (!isAtMost(this.#begun, this.#answered)) host.began(this.#begun);
    host.flush();
    this.#known = this.#begun;
    // Time spent on sending does not count for the next call.
    this.#nowMs = performance.now();
    this.#sentAtMs = this.#nowMs;
  }

  #fitWindow(): void {
    const fitting = Math.min(Math.max(Math.floor(windowMs / this.#meanRunMs), 1), callWindowMax);
    // Not for each change of the mean.
    if (fitting < this.#window || fitting >= 2 * this.#window) {
      this.#window = fitting;
      this.#host.window(fitting);
    }
  }
}

/** Of two numbers that count in 32 bits, is the first one not later? */
function isAtMost(sequence: number, other: number): boolean {
  return ((sequence - other) | 0) <= 0;
}
