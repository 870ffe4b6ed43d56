/** Awaited answers of an agent, each with a timeout. */
import { NexError } from "@nexengine/protocol/errors";

interface Wait {
  resolve(value: unknown): void;
  reject(error: NexError): void;
}

export class Waits {
  readonly #waits = new Map<string, Wait>();
  #failed: NexError | undefined;

  /**
   * Waits for an answer.
   *
   * @param what Names the answer in the timeout error.
   * @throws NexError `timeout`, or the error given to `fail`.
   */
  begin(type: number, timeoutMs: number, what: string, id = 0): Promise<unknown> {
    if (this.#failed !== undefined) return Promise.reject(this.#failed);
    const key = `${type} ${id}`;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const timer = setTimeout(() => {
      this.#waits.delete(key);
      reject(new NexError("timeout", `Cannot go on with an agent: no ${what} within ${timeoutMs} ms`));
    }, timeoutMs);
    const settle =
      <T>(end: (value: T) => void) =>
      (value: T) => {
        clearTimeout(timer);
        this.#waits.delete(key);
        end(value);
      };
    this.#waits.set(key, { resolve: settle(resolve), reject: settle(reject) });
    return promise;
  }

  /** Resolves a wait. @returns false when nobody waits for this answer. */
  settle(type: number, value: unknown, id = 0): boolean {
    const wait = this.#waits.get(`${type} ${id}`);
    wait?.resolve(value);
    return wait !== undefined;
  }

  /** Gives up a wait. */
  drop(type: number, id = 0): void {
    const text = "Cannot go on with an agent: nobody waits for its answer any more";
    this.#waits.get(`${type} ${id}`)?.reject(new NexError("timeout", text));
  }

  /** Fails all waits, current and future. */
  fail(error: NexError): void {
    this.#failed = error;
    for (const wait of [...this.#waits.values()]) wait.reject(error);
  }
}
