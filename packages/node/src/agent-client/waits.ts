/** Answers that are awaited from an agent, each with a limit. */
import { NexError } from "@nexengine/protocol/internal";

interface Wait {
  resolve(value: unknown): void;
  reject(error: NexError): void;
}

export class Waits {
  readonly #waits = new Map<string, Wait>();
  #failed: NexError | undefined;

  /**
   * Begins to wait for an answer.
   *
   * @param what For the message when it does not come.
   * @throws NexError `timeout`, or what `fail` was given
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

  /** Hands an answer to whoever waits for it. @returns false when nobody does. */
  settle(type: number, value: unknown, id = 0): boolean {
    const wait = this.#waits.get(`${type} ${id}`);
    wait?.resolve(value);
    return wait !== undefined;
  }

  /** Waits no longer for an answer. */
  drop(type: number, id = 0): void {
    const text = "Cannot go on with an agent: nobody waits for its answer any more";
    this.#waits.get(`${type} ${id}`)?.reject(new NexError("timeout", text));
  }

  /** No answer will come any more. */
  fail(error: NexError): void {
    this.#failed = error;
    for (const wait of [...this.#waits.values()]) wait.reject(error);
  }
}
