/**
 * The messages that a trigger has in hand, and their ends: acknowledged, returned for a later attempt, or given up as a
 * dead letter. A message without an end stays with the server, which delivers it again.
 */
import { CallError, type CallFailure } from "@nexengine/protocol/agent";
import { errorText } from "@nexengine/protocol/errors";
import type { Call } from "../../function-calls.ts";
import type { MessageContent, ReplySubject, TriggerConnection } from "../trigger-connection.ts";
import { type Delivery, type DeliveryCounts, parseAckSubject, readCounts } from "./ack-subject.ts";

/** How messages are settled. */
interface SettlingPolicy {
  /** Deliveries of one message until it is given up; 0 is no limit. */
  attempts: number;
  /** Delays before the second attempt and the next ones. The last one repeats. */
  backoffMs: readonly number[];
  ackWaitMs: number;
  /** Whether each ack is confirmed by the server. */
  confirm: boolean;
}

/** Parts that a settlement uses. */
export interface SettlementParts {
  connection: TriggerConnection;
  policy: SettlingPolicy;
  /** Keeps a copy of a message that is given up. Absent where it is dropped. */
  keep: ((call: Call, delivery: Delivery, reason: string) => Promise<void>) | undefined;
  /** Sends an ack, and returns once the server has it. */
  confirm(ackSubject: string): Promise<void>;
  events: SettlementEvents;
}

/** Told of what happens to messages. */
interface SettlementEvents {
  /** There is a place more. */
  settled(): void;
  /** A message was given up; it is kept as a dead letter, or dropped. */
  dead(delivery: Delivery, reason: string, isKept: boolean): void;
  /** From now on, messages should come one at a time. */
  careful(): void;
  /** Dead letters can't be kept; `undefined` when they can be again. */
  deadTrouble(why: string | undefined): void;
}

/** Counters of a trigger, since its start. */
export interface SettlementCounters {
  received: number;
  acked: number;
  retried: number;
  dead: number;
}

const nsPerMs = 1e6;
/** Delay of a message whose dead letter can't be kept. */
const deadRetryMs = 30_000;
/** Dead letters in a row that can't be kept, after which no more messages are taken. */
const deadFailuresMax = 10;
const reasonCharactersMax = 200;
/** Time without a lost machine after which messages are taken together again. */
const carefulMs = 60_000;
const suspectsMax = 4_096;

const ack = contentOf("");
const inProgress = contentOf("+WPI");
const again = contentOf("-NAK");

function contentOf(text: string): MessageContent {
  const bytes = Buffer.from(text);
  return { bytes, headersStart: 0, payloadStart: 0, payloadEnd: bytes.length };
}

export class Settlement {
  readonly counters: SettlementCounters = { received: 0, acked: 0, retried: 0, dead: 0 };
  readonly #parts: SettlementParts;
  /** Messages in hand: those of this period, and older ones, which the server is told to wait for. */
  #young = new Set<Call>();
  readonly #old = new Set<Call>();
  /** Ends that met a lost connection. */
  #unsent: { to: ReplySubject; content: MessageContent }[] = [];
  #timer: NodeJS.Timeout | undefined;
  #deadFailures = 0;
  /** Messages that were with a machine when it was lost: one of them may be to blame. By delivery. */
  readonly #suspects = new Set<number>();
  #carefulUntilMs = 0;
  /** Whether several messages of this turn have lost their machine together. */
  #isLostTogether = false;
  #failuresInRow = 0;
  #lastError: string | undefined;

  constructor(parts: SettlementParts) {
    this.#parts = parts;
  }

  /** Number of messages in hand. */
  get size(): number {
    return this.#young.size + this.#old.size;
  }

  /** Number of failed calls since the last good one. */
  get failuresInRow(): number {
    return this.#failuresInRow;
  }

  /** Whether dead letters can't be kept, so often that no more messages should be taken. */
  get isStuck(): boolean {
    return this.#deadFailures >= deadFailuresMax;
  }

  /** Whether messages should be taken one at a time, because one of those to come may end its machine. */
  get isCareful(): boolean {
    return this.#suspects.size > 0 && performance.now() < this.#carefulUntilMs;
  }

  get lastError(): string | undefined {
    return this.#lastError;
  }

  /** Takes a message in hand. */
  took(call: Call): void {
    this.counters.received++;
    this.#young.add(call);
    this.#timer ??= setInterval(() => this.#extend(), this.#parts.policy.ackWaitMs / 3);
  }

  /** The message is done. */
  ack(call: Call): void {
    this.#failuresInRow = 0;
    if (this.#suspects.size > 0) this.#clear(call);
    this.counters.acked++;
    if (this.#parts.policy.confirm) void this.#confirm(call);
    else this.#end(call, ack);
  }

  async #confirm(call: Call): Promise<void> {
    try {
      await this.#parts.confirm(subjectOf(call));
    } catch (error) {
      this.#lastError = `an ack was not confirmed: ${errorText(error)}`;
    }
    this.#forget(call);
  }

  /** The call of the message has failed. */
  failed(call: Call, failure: CallFailure): void {
    const { attempts, backoffMs } = this.#parts.policy;
    this.#failuresInRow++;
    this.#lastError = failure.text;
    const counts: DeliveryCounts = { deliveries: 1, pending: 0 };
    readCounts(call.bytes, call.replyStart, call.replyEnd, counts);
    const { deliveries: count } = counts;
    const isLast = attempts > 0 && count >= attempts;
    if (this.#isInnocent(call, failure) && failure.retry !== false) {
      this.again(call, backoffMs[0] ?? 0);
      return;
    }
    if (failure.retry === false || failure.code === CallError.badCall || isLast) {
      this.giveUp(call, `${failure.code} ${failure.text}`);
      return;
    }
    const delayMs = failure.retryAfterMs ?? backoffMs[Math.min(count, backoffMs.length) - 1] ?? 0;
    this.again(call, delayMs);
  }

  /** Whether the message is not known to be to blame: its call waited in vain, or lost its machine with others. */
  #isInnocent(call: Call, { code, machineLost }: CallFailure): boolean {
    if (code === CallError.overloaded) return true;
    if (machineLost === true && this.size > 1 && !this.#isLostTogether) {
      this.#isLostTogether = true;
      setImmediate(() => {
        this.#isLostTogether = false;
        if (this.isCareful) this.#parts.events.careful();
      });
    }
    if (machineLost !== true || !this.#isLostTogether) {
      this.#clear(call);
      return false;
    }
    if (this.#suspects.size < suspectsMax) this.#suspects.add(sequenceOf(call));
    this.#carefulUntilMs = performance.now() + carefulMs;
    return true;
  }

  #clear(call: Call): void {
    this.#suspects.delete(sequenceOf(call));
  }

  /** Gives the message back to the server, for a copy with room after a delay. */
  again(call: Call, delayMs: number): void {
    this.counters.retried++;
    this.#end(call, delayMs > 0 ? contentOf(`-NAK {"delay":${Math.round(delayMs * nsPerMs)}}`) : again);
  }

  /** Gives the message up. Its copy is kept before the server forgets it. */
  giveUp(call: Call, reason: string): void {
    void this.#giveUp(call, reason);
  }

  async #giveUp(call: Call, reason: string): Promise<void> {
    const delivery = parseAckSubject(subjectOf(call));
    const { keep, events } = this.#parts;
    if (delivery === undefined) {
      this.#forget(call);
      return;
    }
    try {
      await keep?.(call, delivery, reason);
    } catch (error) {
      this.#deadFailures++;
      this.#lastError = errorText(error);
      events.deadTrouble(this.#lastError);
      this.again(call, deadRetryMs);
      return;
    }
    this.#clear(call);
    if (this.#deadFailures > 0) events.deadTrouble(undefined);
    this.#deadFailures = 0;
    this.counters.dead++;
    const line = reason.replace(/\s+/g, " ").slice(0, reasonCharactersMax);
    this.#end(call, contentOf(`+TERM ${line}`));
    events.dead(delivery, reason, keep !== undefined);
  }

  /** The connection is back: sends the ends that met the loss. */
  reconnected(): void {
    for (const { to, content } of this.#unsent.splice(0)) this.#send(to, content);
  }

  /** Ends the timer. Messages that are in hand are still settled. */
  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #end(call: Call, content: MessageContent): void {
    this.#send(call, content);
    this.#forget(call);
  }

  #send(to: ReplySubject, content: MessageContent): void {
    if (this.#parts.connection.publish(to, content)) return;
    const { bytes, replyStart, replyEnd } = to;
    const kept = Buffer.copyBytesFrom(bytes, replyStart, replyEnd - replyStart);
    this.#unsent.push({ to: { bytes: kept, replyStart: 0, replyEnd: kept.length }, content });
  }

  #forget(call: Call): void {
    if (!this.#young.delete(call)) this.#old.delete(call);
    if (this.size === 0) this.stop();
    this.#parts.events.settled();
  }

  /** Tells the server to wait longer for messages that are in hand for a third of the time that it waits. */
  #extend(): void {
    for (const call of this.#young) this.#old.add(call);
    const moved = this.#young;
    this.#young = new Set();
    for (const call of this.#old) {
      if (!moved.has(call)) this.#parts.connection.publish(call, inProgress);
    }
  }
}

/** Sequence number of the message in its stream; 0 if it can't be read. */
function sequenceOf(call: Call): number {
  return parseAckSubject(subjectOf(call))?.sequence ?? 0;
}

function subjectOf({ bytes, replyStart, replyEnd }: Call): string {
  return bytes.toString("latin1", replyStart, replyEnd);
}
