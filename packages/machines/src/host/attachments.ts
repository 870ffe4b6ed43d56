/** Keeps the channels of the current epoch, and closes those of the previous one. */
import type { Channels } from "../driver.ts";
import { MachineError } from "../errors.ts";

/** The channels of one epoch. `hangUp` tells their reader that no more data will arrive. */
export interface EpochChannels extends Channels {
  hangUp?(): void;
}

/** Opens the channels of an epoch. The signal's reason says why opening was aborted. */
export type OpenEpoch = (epoch: number, signal: AbortSignal) => Promise<EpochChannels>;

/** Manages a machine's channels across epochs. A new epoch closes the previous channels and aborts pending attaches. */
export class Attachments {
  readonly #openEpoch: OpenEpoch;
  readonly #timeoutMs: number;
  #epoch: number;
  #waiting: AbortController | undefined;
  #open: EpochChannels | undefined;
  /** Serializes opening, because all epochs share one socket name. */
  #turn: Promise<unknown> = Promise.resolve();

  /** @param epoch The latest epoch that has started. */
  constructor(openEpoch: OpenEpoch, epoch: number, timeoutMs: number) {
    this.#openEpoch = openEpoch;
    this.#epoch = epoch;
    this.#timeoutMs = timeoutMs;
  }

  /**
   * Starts an epoch.
   *
   * @throws MachineError `attach_failed` if a later epoch has started or the guest does not connect in time.
   */
  async open(epoch: number, id: string): Promise<Channels> {
    const action = `Cannot attach to machine "${id}" for epoch ${epoch}`;
    if (!Number.isSafeInteger(epoch) || epoch <= this.#epoch) {
      throw new MachineError("attach_failed", `${action}: epoch ${this.#epoch} has already started`);
    }
    this.#epoch = epoch;
    this.#end("a later epoch has started");
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

  /** Handles the exit of the machine: buffered output can still be read, then the channels close. */
  hangUp(): void {
    this.#waiting?.abort("the machine has exited");
    this.#open?.hangUp?.();
  }

  /** Closes all channels immediately. */
  destroy(): void {
    this.#end("the machine has been destroyed");
  }

  #end(why: string): void {
    this.#waiting?.abort(why);
    this.#open?.frames.destroy();
    this.#open?.calls.destroy();
    this.#open = undefined;
  }

  async #openOne(epoch: number, waiting: AbortController): Promise<EpochChannels> {
    const late = setTimeout(
      () => waiting.abort(`the guest did not connect within ${this.#timeoutMs} ms`),
      this.#timeoutMs,
    );
    try {
      const channels = await this.#openEpoch(epoch, waiting.signal);
      // A later epoch may have started while this one was opening.
      if (!waiting.signal.aborted) return channels;
      channels.frames.destroy();
      channels.calls.destroy();
      throw new MachineError("attach_failed", String(waiting.signal.reason));
    } finally {
      clearTimeout(late);
    }
  }
}
