import { closeSync, constants, openSync } from "node:fs";
import { Socket } from "node:net";
import { finished } from "node:stream/promises";
import { ConsoleTail } from "./console-tail.ts";
import { openFifo } from "./fifo.ts";
import { settlesWithin } from "./wait.ts";

/** How long the console is read after the end of its machine. */
const graceMs = 200;

/**
 * The end of a machine's output that the node reads. Output goes through a FIFO, which holds a bounded number of
 * bytes, and which another node can read from where the former one has stopped. The machine holds both its ends, so
 * that it does not fail while no node reads.
 */
export class FifoConsole {
  readonly #stream: Socket;
  readonly #tail = new ConsoleTail();
  /** Settles when nobody can write any more, which is when the machine has ended, or earlier if it lets go of it. */
  readonly closed: Promise<void>;

  constructor(path: string) {
    this.#stream = new Socket({ fd: openFifo(path, "read"), readable: true, writable: false });
    this.#tail.follow(this.#stream);
    this.closed = finished(this.#stream).catch(() => undefined);
  }

  /** Opens both ends of the FIFO. @returns the reading end, and a descriptor for the machine, to be closed once it has it. */
  static open(path: string): { console: FifoConsole; outputFd: number } {
    const console = new FifoConsole(path);
    return { console, outputFd: openSync(path, constants.O_RDWR | constants.O_NOFOLLOW) };
  }

  /** Waits until this has been written. @returns whether it was in time, and before the end. */
  async says(words: string, timeoutMs: number): Promise<boolean> {
    if (this.#tail.text().includes(words)) return true;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    let heard = "";
    const hear = (chunk: Buffer): void => {
      heard += chunk.toString("latin1");
      if (heard.includes(words)) resolve(true);
      // As much as may be the beginning of it.
      heard = heard.slice(-words.length);
    };
    this.#stream.on("data", hear);
    void this.closed.then(() => resolve(false));
    const late = setTimeout(resolve, timeoutMs, false);
    try {
      return await promise;
    } finally {
      clearTimeout(late);
      this.#stream.off("data", hear);
    }
  }

  /** What was written last, when the machine has ended. */
  async end(): Promise<string> {
    await settlesWithin(this.closed, graceMs);
    this.destroy();
    return this.#tail.text();
  }

  destroy(): void {
    this.#stream.destroy();
  }
}

/** Closes a descriptor that a machine has got. */
export function closeOutput(fd: number): void {
  closeSync(fd);
}
