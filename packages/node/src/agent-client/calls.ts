/**
 * The calls that one agent has. Slots have ids with a generation, so that a late answer matches nothing. The list keeps the
 * order in which calls were sent, which is the order in which the agent starts them.
 */
import { type CallFailure, callWindowMax, type MessageView, type ReplyView } from "@nexengine/protocol/agent";

const slotBits = 12;
/** Maximum number of calls that an agent has at once. */
export const callSlotsMax = 1 << slotBits;
const slotMask = callSlotsMax - 1;
const generationMask = (1 << (32 - slotBits)) - 1;

/** A call for an agent. Exactly one of `replied` and `failed` is called, unless the call is cancelled. */
export abstract class AgentCall implements MessageView {
  abstract readonly bytes: Uint8Array;
  abstract readonly subjectStart: number;
  abstract readonly subjectEnd: number;
  abstract readonly triggerPlace: number;
  abstract readonly deliveryStart: number;
  abstract readonly deliveryEnd: number;
  abstract readonly headersStart: number;
  abstract readonly payloadStart: number;
  abstract readonly payloadEnd: number;
  /** Slot and generation while an agent has the call. */
  id = -1;
  /** Sequence number within the epoch, modulo 2³². */
  sequence = 0;
  givenAtMs = 0;
  /** Time at which it started, as the agent reported; 0 before. */
  begunAtMs = 0;
  answeredAtMs = 0;
  previous: AgentCall | undefined;
  next: AgentCall | undefined;

  /** Takes the reply. The view is reused after the call; its buffer is not. */
  abstract replied(reply: ReplyView): void;
  abstract failed(failure: CallFailure, runTicks: number): void;
}

export class AgentCalls {
  readonly #calls: (AgentCall | undefined)[] = [];
  readonly #generations: number[] = [];
  readonly #free: number[] = [];
  #size = 0;
  #given = 0;
  /** Sequence number of the last started call. */
  #begun = 0;
  #heardAtMs = 0;
  /** Number of calls that may start before the agent reports it. */
  #window = 1;
  #oldest: AgentCall | undefined;
  #newest: AgentCall | undefined;

  get size(): number {
    return this.#size;
  }

  /** The oldest call. The others follow by `next`. */
  get oldest(): AgentCall | undefined {
    return this.#oldest;
  }

  /** Appends a call and gives it an id. @returns false when all slots are taken. */
  add(call: AgentCall, nowMs: number): boolean {
    let slot = this.#free.pop();
    if (slot === undefined) {
      if (this.#calls.length >= callSlotsMax) return false;
      slot = this.#calls.length;
      this.#calls.push(undefined);
      this.#generations.push(0);
    }
    const generation = ((this.#generations[slot] as number) + 1) & generationMask;
    this.#generations[slot] = generation;
    this.#calls[slot] = call;
    this.#size++;
    this.#given = (this.#given + 1) >>> 0;
    call.id = ((generation << slotBits) | slot) >>> 0;
    call.sequence = this.#given;
    call.givenAtMs = nowMs;
    call.begunAtMs = 0;
    call.previous = this.#newest;
    call.next = undefined;
    if (this.#newest === undefined) this.#oldest = call;
    else this.#newest.next = call;
    this.#newest = call;
    return true;
  }

  /** Removes an answered call. @returns `undefined` for an unknown id. */
  answer(id: number, nowMs: number): AgentCall | undefined {
    const call = this.take(id);
    if (call === undefined) return undefined;
    this.#heardAtMs = nowMs;
    call.answeredAtMs = nowMs;
    if (isAfter(call.sequence, this.#begun)) this.#begun = call.sequence;
    return call;
  }

  /** Whether the agent has a call with this id. */
  has(id: number): boolean {
    return this.#calls[id & slotMask]?.id === id;
  }

  /** Removes a call. @returns `undefined` for an unknown id. */
  take(id: number): AgentCall | undefined {
    const slot = id & slotMask;
    const call = this.#calls[slot];
    if (call === undefined || call.id !== id) return undefined;
    this.#calls[slot] = undefined;
    this.#free.push(slot);
    this.#size--;
    const { previous, next } = call;
    if (previous === undefined) this.#oldest = next;
    else previous.next = next;
    if (next === undefined) this.#newest = previous;
    else next.previous = previous;
    call.id = -1;
    call.previous = undefined;
    call.next = undefined;
    return call;
  }

  /** Notes that the agent has started all calls up to this one. @returns whether that was new and possible. */
  began(sequence: number, nowMs: number): boolean {
    // An agent can only have started calls that it has.
    if (isAfter(sequence, this.#given) || !isAfter(sequence, this.#begun)) return false;
    this.#begun = sequence;
    this.#heardAtMs = nowMs;
    for (let call = this.#newest; call !== undefined && call.begunAtMs === 0; call = call.previous)
      if (!isAfter(call.sequence, sequence)) call.begunAtMs = nowMs;
    return true;
  }

  /** Sets how many calls the agent may start without reporting it. */
  setWindow(calls: number): void {
    this.#window = Math.min(Math.max(calls, 1), callWindowMax);
  }

  /**
   * Calls that may be running, and since when: those that the agent reported, and the next ones, which it may start
   * without a report.
   *
   * @param concurrency How many calls the agent runs at once.
   */
  running(concurrency: number): { call: AgentCall; sinceMs: number }[] {
    const running: { call: AgentCall; sinceMs: number }[] = [];
    let named = 0;
    for (let call = this.#oldest; call !== undefined; call = call.next) {
      if (!isAfter(call.sequence, this.#begun)) named++;
      // Counted by sequence number, as the agent does: a cancelled call lets no further one start.
      else if (named >= concurrency || isAfter(call.sequence, this.#begun + this.#window)) break;
      const sinceMs = call.begunAtMs > 0 ? call.begunAtMs : Math.max(call.givenAtMs, this.#heardAtMs);
      running.push({ call, sinceMs });
    }
    return running;
  }

  /** Removes all calls, in order. */
  drain(): AgentCall[] {
    const drained: AgentCall[] = [];
    for (let call = this.#oldest; call !== undefined; call = this.#oldest) {
      this.take(call.id);
      drained.push(call);
    }
    return drained;
  }
}

/** Whether a sequence number is later than another one, modulo 2³². */
function isAfter(sequence: number, other: number): boolean {
  return ((sequence - other) | 0) > 0;
}
