/** Callers that call functions all the time, and note every answer and failure. */
import assert from "node:assert/strict";
import type { NexClient } from "@nexengine/client";
import { until } from "@nexengine/testing";

const callTimeoutMs = 20_000;

export class Callers implements AsyncDisposable {
  answered = 0;
  /** Longest time that a caller waited for its answer. */
  longestMs = 0;
  /** Calls that were not answered, or answered with an error. */
  readonly failures: string[] = [];
  readonly #replies = new Map<string, string[]>();
  #stopped = false;
  readonly #running: Promise<void>[];

  /** @param callersEach Number of callers of each function. */
  constructor(client: NexClient, subjects: readonly string[], callersEach: number) {
    this.#running = subjects.flatMap((subject) => {
      const replies: string[] = [];
      this.#replies.set(subject, replies);
      return Array.from({ length: callersEach }, () => this.#call(client, subject, replies));
    });
  }

  async #call(client: NexClient, subject: string, replies: string[]): Promise<void> {
    while (!this.#stopped) {
      const beganMs = performance.now();
      try {
        replies.push(
          Buffer.from((await client.call(subject, "", { timeoutMs: callTimeoutMs })).data).toString(),
        );
        this.answered++;
        this.longestMs = Math.max(this.longestMs, performance.now() - beganMs);
      } catch (error) {
        this.failures.push(`${subject}: ${error instanceof Error ? error.message : String(error)}`);
        // A failure each turn would fill the memory.
        if (this.failures.length > 100) return;
      }
    }
  }

  /** Holds that a function which counts its calls gave each number once, without a gap. */
  assertEachOnce(subject: string): void {
    const numbers = (this.#replies.get(subject) ?? []).map(Number).sort((one, other) => one - other);
    assert.deepEqual(
      numbers,
      numbers.map((_, at) => at + 1),
    );
  }

  /** Waits for more answers. @throws AssertionError when a call has failed */
  async answers(count: number): Promise<void> {
    const enough = this.answered + count;
    await until(() => this.failures.length > 0 || this.answered >= enough);
    assert.deepEqual(this.failures, []);
  }

  /** Ends all callers after their last answer. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#running);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
