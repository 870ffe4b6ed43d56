import type { Channels } from "../driver.ts";
import { MachineError } from "../errors.ts";

/** The channels of one epoch, and how their reader is told that nothing will come any more. */
export interface EpochChannels extends Channels {
  hangUp?(): void;
}

/** Opens the channels of an epoch; the signal's reason says why that shall not be any more. */
export type OpenEpoch = (epoch: number, signal: AbortSignal) => Promise<EpochChannels>;

/** The channels of a machine over its epochs: each ends the former ones, and waits that were not over. */
export class Attachments {
  readonly #openEpoch: OpenEpoch;
  readonly #timeoutMs: number;
  #epoch: number;
  #waiting: AbortController | undefined;
  #open: EpochChannels | undefined;
  /** Opens one after the other: the socket has one name. */
  #turn: Promise<unknown> = Promise.resolve();

  /** @param epoch The latest that has begun. */
  constructor(openEpoch: OpenEpoch, epoch: number, timeoutMs: number) {
    this.#openEpoch = openEpoch;
    this.#epoch = epoch;
    this.#timeoutMs = timeoutMs;
  }

  /**
   * Begins an epoch.
   *
   * @throws MachineError `attach_failed` when a later one has begun, or the guest does not connect in time.
   */
  async open(epoch: number, id: string): Promise<Channels> {
    const action = `Cannot attach to machine "${id}" for epoch ${epoch}`;
    if (!Number.isSafeInteger(epoch) || epoch <= this.#epoch) {
      throw new MachineError("attach_failed", `${action}: epoch ${this.#epoch} has begun`);
    }
    this.#epoch = epoch;
    this.#end("a later epoch has begun");
    const waiting = new AbortController();
    this.#waiting = waiting;
    const previous = this.#turn;
    const turn = previous.then(() => this.#openOne(epoch, waiting));
    this.#turn = turn.catch(() => undefined);
    try {
      this.#open = await turn;
      return this.#open;
    } catch (cause) {
      if (cause instanceof MachineError && cause.code === "wrong_state") throw cause;
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new MachineError("attach_failed", `${action}: ${why}`, { cause });
    }
  }

  /** The machine has ended: what it wrote can be read, then the channels end. */
  hangUp(): void {
    this.#waiting?.abort("the machine has ended");
    this.#open?.hangUp?.();
  }

  /** Ends everything at once. */
  destroy(): void {
    this.#end("the machine is destroyed");
  }

  #end(why: string): void {
    this.#waiting?.abort(why);
    this.#open?.frames.destroy();
    this.#open?.calls.destroy();
    this.#open = undefined;
  }

  async #openOne(epoch: number, waiting: AbortController): Promise<EpochChannels> {
    const late = setTimeout(
      () => waiting.abort(`the guest was silent for ${this.#timeoutMs} ms`),
      this.#timeoutMs,
    );
    try {
      const channels = await this.#openEpoch(epoch, waiting.signal);
      // An epoch may have begun while this one came to its end.
      if (!waiting.signal.aborted) return channels;
      channels.frames.destroy();
      channels.calls.destroy();
      throw new MachineError("attach_failed", String(waiting.signal.reason));
    } finally {
      clearTimeout(late);
    }
  }
}
