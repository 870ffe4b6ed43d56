/** Messages that came when the function had no room, in their order. */
import type { Share } from "../../../budget/quota.ts";
import type { Call, CallTaker } from "../../function-calls.ts";

export class WaitingCalls {
  readonly #calls: CallTaker;
  readonly #held: Share;
  readonly #grown: () => void;
  readonly #waiting: Call[] = [];
  #isListening = false;

  /**
   * @param held Share of the budget for their bytes.
   * @param grown Called when there is room again, after those that wait have been given away.
   */
  constructor(calls: CallTaker, held: Share, grown: () => void) {
    this.#calls = calls;
    this.#held = held;
    this.#grown = grown;
  }

  get size(): number {
    return this.#waiting.length;
  }

  /** Gives a call to the function, or lets it wait. @returns false when the node has no memory for it */
  give(call: Call): boolean {
    if (this.#waiting.length === 0 && this.#calls.room > 0) {
      this.#calls.accept(call);
      return true;
    }
    call.compact();
    if (!this.#held.take(call.size)) return false;
    this.#waiting.push(call);
    this.awaitRoom();
    return true;
  }

  /** Goes on as soon as there is room. */
  awaitRoom(): void {
    if (this.#isListening) return;
    this.#isListening = true;
    this.#calls.whenRoom(() => {
      this.#isListening = false;
      this.#takeUp();
    });
  }

  #takeUp(): void {
    let taken = 0;
    for (const call of this.#waiting) {
      if (this.#calls.room === 0) break;
      taken++;
      this.#held.give(call.size);
      this.#calls.accept(call);
    }
    this.#waiting.splice(0, taken);
    if (this.#waiting.length > 0) this.awaitRoom();
    this.#grown();
  }

  /** Takes all away. */
  clear(): Call[] {
    const waiting = this.#waiting.splice(0);
    for (const { size } of waiting) this.#held.give(size);
    return waiting;
  }
}
