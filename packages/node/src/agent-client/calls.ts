/**
 * The calls that one agent has, by slots whose ids carry a generation, so that a late answer finds nobody, and in the
 * order in which they were given, which is the order in which the agent begins them.
 */
import { type CallFailure, callWindowMax, type MessageView } from "@nexengine/protocol/internal";

const slotBits = 12;
/** So many calls can be with an agent at once. */
export const callSlotsMax = 1 << slotBits;
const slotMask = callSlotsMax - 1;
const generationMask = (1 << (32 - slotBits)) - 1;

/** A call that can be given to an agent. Either `replied` or `failed` is called, once, unless it is taken back. */
export abstract class AgentCall implements MessageView {
  abstract readonly bytes: Uint8Array;
  abstract readonly subjectStart: number;
  abstract readonly subjectEnd: number;
  abstract readonly headersStart: number;
  abstract readonly payloadStart: number;
  abstract readonly payloadEnd: number;
  /** While an agent has it: the slot and its generation. */
  id = -1;
  /** The how-manieth of the epoch it is, in 32 bits. */
  sequence = 0;
  givenAtMs = 0;
  /** When it began, as the agent said; 0 before. */
  begunAtMs = 0;
  answeredAtMs = 0;
  previous: AgentCall | undefined;
  next: AgentCall | undefined;

  /** The reply: a place in a buffer that stays as it is; headers end where the payload begins. */
  abstract replied(
    bytes: Buffer,
    headersStart: number,
    payloadStart: number,
    payloadEnd: number,
    runTicks: number,
  ): void;
  abstract failed(failure: CallFailure, runTicks: number): void;
}

export class AgentCalls {
  readonly #calls: (AgentCall | undefined)[] = [];
  readonly #generations: number[] = [];
  readonly #free: number[] = [];
  #size = 0;
  #given = 0;
  /** The sequence of the last call that has begun. */
  #begun = 0;
  #heardAtMs = 0;
  /** So many calls may begin before the agent says so. */
  #window = 1;
  #oldest: AgentCall | undefined;
  #newest: AgentCall | undefined;

  get size(): number {
    return this.#size;
  }

  /** The call that was given first, of those that are there. Others follow by `next`. */
  get oldest(): AgentCall | undefined {
    return this.#oldest;
  }

  /** Gives the call an id and the last place. @returns whether there was a slot. */
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

  /** Takes a call out whose answer has come. @returns `undefined` for an id that means nothing. */
  answer(id: number, nowMs: number): AgentCall | undefined {
    const call = this.take(id);
    if (call === undefined) return undefined;
    this.#heardAtMs = nowMs;
    call.answeredAtMs = nowMs;
    if (isAfter(call.sequence, this.#begun)) this.#begun = call.sequence;
    return call;
  }

  /** Is this the id of a call that the agent has? */
  has(id: number): boolean {
    return this.#calls[id & slotMask]?.id === id;
  }

  /** Takes a call out. @returns `undefined` for an id that means nothing. */
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

  /** The agent says that the calls up to this one have begun. @returns whether that was news, and can be true. */
  began(sequence: number, nowMs: number): boolean {
    // It can't have begun what it was not given.
    if (isAfter(sequence, this.#given) || !isAfter(sequence, this.#begun)) return false;
    this.#begun = sequence;
    this.#heardAtMs = nowMs;
    for (let call = this.#newest; call !== undefined && call.begunAtMs === 0; call = call.previous)
      if (!isAfter(call.sequence, sequence)) call.begunAtMs = nowMs;
    return true;
  }

  /** The agent says how many calls it may begin without a word. */
  setWindow(calls: number): void {
    this.#window = Math.min(Math.max(calls, 1), callWindowMax);
  }

  /**
   * The calls that may run, with the time since when: those that the agent has named, and the next ones, which it begins
   * without a word if it may.
   *
   * @param concurrency How many it may run at once.
   */
  running(concurrency: number): { call: AgentCall; sinceMs: number }[] {
    const running: { call: AgentCall; sinceMs: number }[] = [];
    let named = 0;
    for (let call = this.#oldest; call !== undefined; call = call.next) {
      if (!isAfter(call.sequence, this.#begun)) named++;
      // Counted by their numbers, as the agent does: one that was given up meanwhile lets no further one begin.
      else if (named >= concurrency || isAfter(call.sequence, this.#begun + this.#window)) break;
      const sinceMs = call.begunAtMs > 0 ? call.begunAtMs : Math.max(call.givenAtMs, this.#heardAtMs);
      running.push({ call, sinceMs });
    }
    return running;
  }

  /** Takes all calls out, in their order. */
  drain(): AgentCall[] {
    const drained: AgentCall[] = [];
    for (let call = this.#oldest; call !== undefined; call = this.#oldest) {
      this.take(call.id);
      drained.push(call);
    }
    return drained;
  }
}

/** Of two numbers that count in 32 bits, is the first one later? */
function isAfter(sequence: number, other: number): boolean {
  return ((sequence - other) | 0) > 0;
}
