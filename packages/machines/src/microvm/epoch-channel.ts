import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { HeaderFinder } from "./epoch-header.ts";

/** The node's end of a channel of one epoch: what the guest wrote before that began is thrown away. */
export class EpochChannel extends Duplex {
  readonly #socket: Socket;
  readonly #begun = Promise.withResolvers<boolean>();
  #finder: HeaderFinder | undefined;

  /** @param socket Owned from now on. */
  constructor(socket: Socket, mark: Buffer) {
    super({ allowHalfOpen: false });
    this.#socket = socket;
    this.#finder = new HeaderFinder(mark);
    this.on("error", () => undefined);
    socket.on("data", (chunk: Buffer) => this.#take(chunk));
    socket.once("error", (error) => this.destroy(error));
    socket.once("close", () => {
      this.#begun.resolve(false);
      // What was read before stays there to be read.
      this.push(null);
    });
  }

  /** Whether the guest has begun the epoch: not when it hangs up before. */
  get begun(): Promise<boolean> {
    return this.#begun.promise;
  }

  #take(chunk: Buffer): void {
    const bytes = this.#finder === undefined ? chunk : this.#finder.add(chunk);
    if (bytes === undefined) return;
    this.#finder = undefined;
    this.#begun.resolve(true);
    if (bytes.length > 0 && !this.push(bytes)) this.#socket.pause();
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.#socket.write(chunk, done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }
}
