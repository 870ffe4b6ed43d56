/** The frame channels over a stream to the host, one for each epoch that the host begins on it. */
import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { NexError } from "@nexengine/protocol/errors";
import type { EpochHeader } from "./serial-port.ts";

/** The frame channel of one epoch. */
class PortFrames extends Duplex {
  readonly #port: FramePort;

  constructor(port: FramePort) {
    super({ allowHalfOpen: false });
    this.#port = port;
    this.on("error", () => undefined);
  }

  override _read(): void {
    this.#port.resume();
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.#port.write(this, chunk, done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#port.leave(this);
    done(error);
  }
}

/** One opening of the port of frames, or one connection to it. */
export class FramePort {
  readonly #socket: Socket;
  readonly #header: EpochHeader;
  #epoch: number;
  /** Bytes that came before the first header, up to the length of a partial header. */
  #before: Buffer | undefined = Buffer.alloc(0);
  #current: PortFrames | undefined;
  #fresh: PortFrames | undefined;
  #wake: () => void = () => undefined;

  /**
   * @param socket Owned from now on.
   * @param epoch The latest that has begun: a lower one is none.
   */
  constructor(socket: Socket, header: EpochHeader, epoch: number) {
    this.#header = header;
    this.#epoch = epoch;
    this.#socket = socket;
    this.#socket.on("data", (chunk: Buffer) => this.#take(chunk));
    this.#socket.once("close", () => {
      this.#current?.push(null);
      this.#current?.destroy();
      this.#wake();
    });
  }

  /** Nothing more will come. */
  get ended(): boolean {
    return this.#socket.destroyed;
  }

  get epoch(): number {
    return this.#epoch;
  }

  /** Looks again for a header in what has come: what a header is may have changed since. */
  lookAgain(): void {
    if (this.#before !== undefined) this.#take(Buffer.alloc(0));
  }

  /** The channel of the next epoch; `undefined` when the host goes, or is silent for so long. */
  async next(timeoutMs: number): Promise<Duplex | undefined> {
    if (this.#fresh === undefined && !this.#socket.destroyed) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.max(timeoutMs, 0));
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    const found = this.#fresh;
    this.#fresh = undefined;
    return found;
  }

  close(): void {
    this.#socket.destroy();
  }

  resume(): void {
    this.#socket.resume();
  }

  write(frames: PortFrames, chunk: Buffer, done: (error?: Error | null) => void): void {
    if (frames === this.#current) this.#socket.write(chunk, done);
    else done(new NexError("agent_protocol", "the epoch has ended"));
  }

  /** A channel is given up: whoever wants another one opens the port anew. */
  leave(frames: PortFrames): void {
    if (frames !== this.#current) return;
    this.#current = undefined;
    this.close();
  }

  #take(chunk: Buffer): void {
    let bytes = this.#before === undefined ? chunk : Buffer.concat([this.#before, chunk]);
    for (let header = this.#header.find(bytes); header; header = this.#header.find(bytes)) {
      this.#deliver(bytes.subarray(0, header.start));
      bytes = bytes.subarray(header.end);
      // The host says it again until it is answered.
      const isNew = this.#before === undefined ? header.epoch > this.#epoch : header.epoch >= this.#epoch;
      if (isNew) this.#begin(header.epoch);
    }
    if (this.#before === undefined) this.#deliver(bytes);
    else this.#before = bytes.subarray(-this.#header.byteLength);
  }

  #deliver(bytes: Buffer): void {
    if (bytes.length > 0 && this.#current !== undefined && !this.#current.push(bytes)) this.#socket.pause();
  }

  #begin(epoch: number): void {
    const previous = this.#current;
    this.#epoch = epoch;
    this.#before = undefined;
    this.#current = new PortFrames(this);
    this.#fresh = this.#current;
    previous?.push(null);
    previous?.destroy();
    this.#socket.write(this.#header.of(epoch));
    this.#wake();
  }
}
