/** A running node's side of a hand-over. */
import { NexError } from "@nexengine/protocol/errors";
import type { EndedEntry } from "../workloads/ended-workloads.ts";
import type { Predecessor, PreparedHandOver, StoppedListening } from "./predecessor.ts";

/** The parts of a running node that it hands over. */
export interface HandOverParts {
  directory: string;
  /** Why it can't be handed over now; `undefined` when it can. */
  obstacle(): string | undefined;
  readonly lameDuck: boolean;
  /** Notes the requests that come from now on. */
  noteRequests(): void;
  /** Takes no more requests, and finishes those that it has. @returns keys of the noted requests */
  stopListening(): Promise<string[]>;
  /** Notes no more. */
  endNotes(): void;
  listenAgain(): Promise<void>;
  endedWorkloads(): EndedEntry[];
  unlock(): Promise<void>;
  /** See `Predecessor.release`. */
  release(workloadId: string): Promise<string[] | undefined>;
  /** Ends the node. @param failure Why the successor did not take it over. */
  end(failure: NexError | undefined): Promise<void>;
}

/**
 * - `idle`: nothing was asked.
 * - `prepared`, `deaf`, `unlocked`, `finished`: after that step.
 * - `aborted`: it was refused, or the successor is gone.
 */
type HandOverState = "idle" | "prepared" | "deaf" | "unlocked" | "finished" | "aborted";

export class HandOver implements Predecessor {
  readonly #parts: HandOverParts;
  #state: HandOverState = "idle";

  constructor(parts: HandOverParts) {
    this.#parts = parts;
  }

  /** Whether it was given up. */
  get isAborted(): boolean {
    return this.#state === "aborted";
  }

  /** Whether only the successor can go on. */
  get isGivenAway(): boolean {
    return this.#state === "unlocked";
  }

  /** Whether it was finished. */
  get isFinished(): boolean {
    return this.#state === "finished";
  }

  async prepare(): Promise<PreparedHandOver> {
    this.#demand("idle", "prepared");
    const { directory, lameDuck } = this.#parts;
    const obstacle = this.#parts.obstacle();
    if (obstacle !== undefined) {
      this.#state = "aborted";
      throw new NexError("hand_over_refused", `Cannot hand this node to another process: ${obstacle}`);
    }
    this.#parts.noteRequests();
    return { directory, lameDuck };
  }

  async stopListening(): Promise<StoppedListening> {
    this.#demand("prepared", "deaf");
    const handled = await this.#parts.stopListening();
    return { handled, ended: this.#parts.endedWorkloads() };
  }

  async unlock(): Promise<void> {
    this.#demand("deaf", "unlocked");
    await this.#parts.unlock();
  }

  async release(workloadId: string): Promise<string[] | undefined> {
    this.#demand("unlocked", "unlocked");
    return await this.#parts.release(workloadId);
  }

  async finish(): Promise<void> {
    this.#demand("unlocked", "finished");
    await this.#parts.end(undefined);
  }

  /**
   * Gives up: the successor is gone. A node that is still whole goes on. One that has given its directory away ends, and
   * leaves its machines to the next start.
   *
   * @returns whether the node goes on.
   */
  async abort(why: string): Promise<boolean> {
    const was = this.#state;
    if (was === "finished" || was === "aborted") return false;
    this.#state = "aborted";
    if (was === "unlocked") {
      await this.#parts.end(new NexError("hand_over_refused", `The node was given away, and ${why}`));
      return false;
    }
    this.#parts.endNotes();
    if (was === "deaf") await this.#parts.listenAgain();
    return true;
  }

  /** Refuses all further steps, unless the node was given away: it is stopping. */
  cancel(): void {
    if (this.#state !== "unlocked" && this.#state !== "finished") this.#state = "aborted";
  }

  #demand(state: HandOverState, next: HandOverState): void {
    if (this.#state !== state) {
      throw new NexError("wrong_state", `Cannot hand the node over: the step does not follow ${this.#state}`);
    }
    this.#state = next;
  }
}
