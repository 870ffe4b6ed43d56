/** Reads a machine's console from a FIFO. */
import { closeSync, constants, openSync } from "node:fs";
import { Socket } from "node:net";
import { finished } from "node:stream/promises";
import { ConsoleTail } from "./console-tail.ts";
import { openFifo } from "./fifo.ts";
import { settlesWithin } from "./wait.ts";

/** How long the console is read after its machine has exited, in ms. */
const graceMs = 200;

/**
 * The node's end of a machine's console. Output goes through a FIFO, which buffers a bounded number of bytes and lets
 * another node continue reading. The machine holds both ends open, so that its writes don't fail while no node reads.
 */
export class FifoConsole {
  readonly #stream: Socket;
  readonly #tail = new ConsoleTail();
  /** Resolves when no writer is left: when the machine has exited, or earlier if it closes the FIFO. */
  readonly closed: Promise<void>;

  constructor(path: string) {
    this.#stream = new Socket({ fd: openFifo(path, "read"), readable: true, writable: false });
    this.#tail.follow(this.#stream);
    this.closed = finished(this.#stream).catch(() => undefined);
  }

  /**
   * Opens both ends of the FIFO.
   *
   * @returns the read end, and a descriptor for the machine. Close that descriptor once the machine has it.
   */
  static open(path: string): { console: FifoConsole; outputFd: number } {
    const console = new FifoConsole(path);
    return { console, outputFd: openSync(path, constants.O_RDWR | constants.O_NOFOLLOW) };
  }

  /** Waits until the machine writes these words. @returns `false` on timeout or end of output. */
  async says(words: string, timeoutMs: number): Promise<boolean> {
    if (this.#tail.text().includes(words)) return true;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    let heard = "";
    const hear = (chunk: Buffer): void => {
      heard += chunk.toString("latin1");
      if (heard.includes(words)) resolve(true);
      // Keeps a possible beginning of the words that continues in the next chunk.
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

  /** Returns the last output once the machine has exited. */
  async end(): Promise<string> {
    await settlesWithin(this.closed, graceMs);
    this.destroy();
    return this.#tail.text();
  }

  destroy(): void {
    this.#stream.destroy();
  }
}

/** Closes a descriptor after it was handed to a machine. */
export function closeOutput(fd: number): void {
  closeSync(fd);
}
