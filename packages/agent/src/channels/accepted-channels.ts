/**
 * Channels that the host opens, with `--channels=sockets:<directory>`: the agent has inherited two sockets that listen,
 * for frames and for calls. The host connects to both for each epoch, calls first, and begins it on both by a header.
 *
 * The token of the header is that of the machine. A copy of a machine gets another one as the last thing that makes it a
 * machine of its own, so an agent that waits for a header looks again what the token is.
 */
import type { Duplex } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { type CallChannel, callChannelOf, channelEnded } from "./call-channel.ts";
import { newPipe, type PipeHandle, socketOf } from "./pipe-handle.ts";
import { FramePort } from "./port-frames.ts";
import { EpochHeader } from "./serial-port.ts";

const framesFd = 3;
const callsFd = 4;
const backlog = 8;
/** Interval for checking the token while a header is missing, in ms. */
const tokenMs = 2;
/** Calls are connected before frames are; more than a turn of the loop they don't take. */
const callsTimeoutMs = 2_000;

/** Accepts what the host connects, of each kind the latest. */
export class AcceptedChannels {
  readonly #header: EpochHeader;
  readonly #connections: PipeHandle[] = [];
  /** The latest connection of calls, of which nothing but its header has been read. */
  #calls: { line: CallChannel; header: Buffer; read: number } | undefined;
  /** That of the epoch whose frames have begun. */
  #line: { epoch: number; line: CallChannel } | undefined;
  #current: FramePort | undefined;
  #epoch = 0;
  #wake: () => void = () => undefined;

  constructor(directory: string) {
    this.#header = new EpochHeader(directory);
    accept(callsFd, (handle) => {
      this.#calls?.line.close();
      handle.setBlocking(true);
      const line = callChannelOf(handle.fd, handle.fd, () => handle.close());
      this.#calls = { line, header: Buffer.alloc(this.#header.byteLength), read: 0 };
      this.#wake();
    });
    accept(framesFd, (handle) => {
      this.#connections.push(handle);
      // The host has begun anew, whether the end of the previous connection has been seen or not.
      this.#current?.close();
      this.#wake();
    });
  }

  /** The frame channels of one epoch after the other, until the node stays away. */
  async *frames(nodeLostTimeoutMs: number): AsyncGenerator<Duplex> {
    let lostAtMs = performance.now();
    for (;;) {
      const leftMs = nodeLostTimeoutMs - (performance.now() - lostAtMs);
      if (!(await this.#until(() => this.#connections.length > 0, leftMs))) return;
      for (const previous of this.#connections.splice(0, this.#connections.length - 1)) previous.close();
      const connection = this.#connections.pop();
      if (connection === undefined) continue;
      const port = new FramePort(socketOf(connection), this.#header, this.#epoch);
      this.#current = port;
      const frames = await this.#begun(port, leftMs);
      this.#epoch = port.epoch;
      if (frames !== undefined && (await this.#callsOf(port.epoch))) {
        yield frames;
        lostAtMs = performance.now();
      }
      port.close();
      this.#current = undefined;
    }
  }

  /** The calls of an epoch whose frames have begun. @throws NexError when there are none. */
  openCalls(epoch: number): CallChannel {
    const begun = this.#line;
    this.#line = undefined;
    if (begun?.epoch === epoch) return begun.line;
    begun?.line.close();
    throw channelEnded();
  }

  /** Waits for the calls of an epoch, unless the host begins another one. @returns whether they are there. */
  async #callsOf(epoch: number): Promise<boolean> {
    await this.#until(() => this.#callsBegun(epoch) || this.#connections.length > 0, callsTimeoutMs);
    return this.#line?.epoch === epoch;
  }

  /**
   * Is there a connection of calls that begins with the header of this epoch? One that has been accepted may be that of an
   * earlier epoch, also of the time before a copy was made, or already that of a later one, and stays then.
   */
  #callsBegun(epoch: number): boolean {
    const accepted = this.#calls;
    if (accepted === undefined) return false;
    const wanted = this.#header.of(epoch);
    const { line } = accepted;
    try {
      for (; accepted.read < accepted.header.length; )
        accepted.read += line.readSome(accepted.header, accepted.read);
      if (!accepted.header.equals(wanted)) return false;
      line.write(wanted);
    } catch {
      line.close();
      this.#calls = undefined;
      return false;
    }
    this.#calls = undefined;
    this.#line?.line.close();
    this.#line = { epoch, line };
    return true;
  }

  /** Waits for the header of a connection, or for the next connection. */
  async #begun(port: FramePort, timeoutMs: number): Promise<Duplex | undefined> {
    const deadline = performance.now() + timeoutMs;
    while (performance.now() < deadline && !port.ended && this.#connections.length === 0) {
      const frames = await port.next(tokenMs);
      if (frames !== undefined) return frames;
      if (this.#header.renew()) port.lookAgain();
    }
    return undefined;
  }

  async #until(condition: () => boolean, timeoutMs: number): Promise<boolean> {
    const deadline = performance.now() + timeoutMs;
    while (!condition()) {
      const leftMs = deadline - performance.now();
      if (leftMs <= 0) return false;
      const timer = new AbortController();
      const woken = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      await Promise.race([woken, delay(leftMs, undefined, { signal: timer.signal }).catch(() => undefined)]);
      timer.abort();
    }
    return true;
  }
}

function accept(fd: number, take: (connection: PipeHandle) => void): void {
  const server = newPipe("SERVER", fd);
  server.onconnection = (status, handle) => {
    if (status === 0 && handle !== undefined) take(handle);
  };
  server.listen(backlog);
}
