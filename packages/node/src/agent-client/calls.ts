/** The calls that one agent has, by slots whose ids carry a generation: a late answer finds nobody. */
import type { CallFailure } from "@nexengine/protocol/internal";

/** What becomes of a call. Exactly one of these is called, once. */
export interface CallHandler {
  /** The function's code begins to run. */
  started(): void;
  /** The reply; a view that holds only during the call. */
  reply(payload: Buffer): void;
  failed(failure: CallFailure): void;
}

interface Slot {
  handler: CallHandler | undefined;
  generation: number;
  started: boolean;
}

const slotBits = 12;
/** So many calls can be with an agent at once. */
export const callSlotsMax = 1 << slotBits;

export class CallTable {
  readonly #slots: Slot[] = [];
  readonly #free: number[] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** @returns the id under which the call goes to the agent, or -1 when all slots are taken. */
  add(handler: CallHandler): number {
    let at = this.#free.pop();
    if (at === undefined) {
      if (this.#slots.length >= callSlotsMax) return -1;
      at = this.#slots.length;
      this.#slots.push({ handler: undefined, generation: 0, started: false });
    }
    const slot = this.#slots[at] as Slot;
    slot.handler = handler;
    slot.started = false;
    slot.generation = (slot.generation + 1) & ((1 << (32 - slotBits)) - 1);
    this.#size++;
    return ((slot.generation << slotBits) | at) >>> 0;
  }

  /** Marks a call as begun. @returns its handler the first time, `undefined` for an id that means nothing. */
  start(id: number): CallHandler | undefined {
    const slot = this.#find(id);
    if (slot === undefined || slot.started) return undefined;
    slot.started = true;
    return slot.handler;
  }

  /** Takes a call out. @returns its handler, `undefined` for an id that means nothing. */
  take(id: number): CallHandler | undefined {
    const slot = this.#find(id);
    if (slot === undefined) return undefined;
    const { handler } = slot;
    slot.handler = undefined;
    this.#free.push(id & (callSlotsMax - 1));
    this.#size--;
    return handler;
  }

  /** Takes all calls out: those that had begun, and those that had not. */
  drain(): { started: CallHandler[]; waiting: CallHandler[] } {
    const drained = { started: [] as CallHandler[], waiting: [] as CallHandler[] };
    for (const [at, slot] of this.#slots.entries()) {
      if (slot.handler === undefined) continue;
      (slot.started ? drained.started : drained.waiting).push(slot.handler);
      this.take(((slot.generation << slotBits) | at) >>> 0);
    }
    return drained;
  }

  #find(id: number): Slot | undefined {
    const slot = this.#slots[id & (callSlotsMax - 1)];
    if (slot?.handler === undefined || slot.generation !== id >>> slotBits) return undefined;
    return slot;
  }
}
