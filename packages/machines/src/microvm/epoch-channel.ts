/** The node's end of a microVM's channel for one epoch. */
import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { HeaderFinder } from "./epoch-header.ts";

/** The node's end of a channel for one epoch. Discards data that the guest wrote before the epoch. */
export class EpochChannel extends Duplex {
  readonly #socket: Socket;
  readonly #begun = Promise.withResolvers<boolean>();
  #finder: HeaderFinder | undefined;

  /** @param socket Owned by the channel from now on. */
  constructor(socket: Socket, mark: Buffer) {
    super({ allowHalfOpen: false });
    this.#socket = socket;
    this.#finder = new HeaderFinder(mark);
    this.on("error", () => undefined);
    socket.on("data", (chunk: Buffer) => this.#take(chunk));
    socket.once("error", (error) => this.destroy(error));
    socket.once("close", () => {
      this.#begun.resolve(false);
      // Data read before remains readable.
      this.push(null);
    });
  }

  /** Resolves with whether the guest started the epoch; `false` if it hung up first. */
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
