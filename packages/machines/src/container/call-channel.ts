/** The node's end of a container's call channel, over two FIFOs. */
import { closeSync, constants, openSync } from "node:fs";
import { Socket } from "node:net";
import { Duplex } from "node:stream";

/** The node's end of the call channel: two FIFOs as one duplex stream. */
export class CallChannel extends Duplex {
  readonly #requestsFd: number;
  readonly #requests: Socket;
  readonly #replies: Socket;

  /**
   * @param requestsFd Opened read-only, so that it ends when the guest closes it. The channel owns both descriptors.
   */
  constructor(requestsFd: number, repliesFd: number) {
    super({ allowHalfOpen: false });
    this.#requestsFd = requestsFd;
    this.#requests = new Socket({ fd: requestsFd, readable: true, writable: false });
    this.#replies = new Socket({ fd: repliesFd, readable: false, writable: true });
    this.on("error", () => undefined);
    this.#requests.on("data", (chunk) => {
      if (!this.push(chunk)) this.#requests.pause();
    });
    this.#requests.once("end", () => this.push(null));
    for (const end of [this.#requests, this.#replies]) end.once("error", (error) => this.destroy(error));
    this.#requests.pause();
  }

  /** Signals end of stream to the reader, even if the guest never opened its end. */
  hangUp(): void {
    if (this.#requests.destroyed) return;
    try {
      // The kernel reports end of file only after a last writer has closed, so a writer must exist once.
      closeSync(openSync(`/proc/self/fd/${this.#requestsFd}`, constants.O_WRONLY | constants.O_NONBLOCK));
    } catch {
      this.destroy();
    }
  }

  override _read(): void {
    this.#requests.resume();
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.#replies.write(chunk, done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#requests.destroy();
    this.#replies.destroy();
    done(error);
  }
}
