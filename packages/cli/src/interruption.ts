/** How commands that watch are woken, and end. */
import { settlesWithin } from "@nexengine/machines/internal";

/** Ctrl-C ends a watch as it should, with status 0. @returns a signal that it aborts. */
export function interruption(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => controller.abort());
  return controller.signal;
}

/** Something that can be waited for again and again. */
export class Bell {
  #rung = Promise.withResolvers<void>();

  ring(): void {
    this.#rung.resolve();
  }

  /** Waits for the next ring, also one since the last wait, or so long. */
  async wait(limitMs: number): Promise<void> {
    await settlesWithin(this.#rung.promise, limitMs);
    this.#rung = Promise.withResolvers<void>();
  }
}
