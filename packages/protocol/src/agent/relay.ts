/**
 * Byte streams over a frame channel: what a machine's agent and its node carry for each other's sockets. Either side
 * opens streams, with ids of its own parity. Payloads: `open` a u16 that names one of the targets that both know,
 * `data` bytes, `credit` a u32 of bytes that may be sent beyond the first window, `end` and `reset` nothing.
 */
import type { Duplex } from "node:stream";
import { NexError } from "../errors.ts";
import { type FrameConnection, type Holding, unboundedHolding } from "./frame-connection.ts";
import { FrameType, framePayloadBytesMax } from "./frames.ts";

/** So much of a stream may be on its way, or wait at the receiver. */
export const relayWindowBytes = 262_144;
/** Credit is given in steps of this size. */
const creditStepBytes = relayWindowBytes / 4;
/** So many streams a channel carries; further ones are reset. */
export const relayStreamsMax = 4_096;
/** What waits at a receiver for all its slow sockets together; beyond it the stream that brings more is reset. */
const waitingBytesMax = 67_108_864;

/** The frame types that one side sends. */
export interface RelayFrames {
  open: number;
  data: number;
  end: number;
  reset: number;
  credit: number;
}

export const relayFramesOfNode: RelayFrames = {
  open: FrameType.nodeRelayOpen,
  data: FrameType.nodeRelayData,
  end: FrameType.nodeRelayEnd,
  reset: FrameType.nodeRelayReset,
  credit: FrameType.nodeRelayCredit,
};

export const relayFramesOfAgent: RelayFrames = {
  open: FrameType.agentRelayOpen,
  data: FrameType.agentRelayData,
  end: FrameType.agentRelayEnd,
  reset: FrameType.agentRelayReset,
  credit: FrameType.agentRelayCredit,
};

/** What a relay needs of the side that it stands on. */
export interface RelayOptions {
  /** Which side this is. */
  side: "node" | "agent";
  /** Opens a target for the other side; `undefined` refuses. The socket has `allowHalfOpen`, and may still connect. */
  accept(target: number): Duplex | undefined;
  /** Breaks a socket off, so that its other end does not take it for a clean end. */
  abort(socket: Duplex): void;
  /** Counts open streams, beyond the bound of each channel; a stream that can't be counted is reset. */
  streams?: Holding;
  /** Counts bytes that wait for a slow socket or for credit; a stream that brings too many is broken off. */
  waiting?: Holding;
}

/**
 * Breaks a TCP socket off with a reset. One whose end is on its way can't be reset: the handle would never be closed,
 * and keep its descriptor for as long as the process lives. Such a socket is closed.
 */
export function breakOff(socket: Duplex & { resetAndDestroy(): unknown }): void {
  if (socket.writableEnded && !socket.writableFinished) socket.destroy();
  else socket.resetAndDestroy();
}

/** One stream: a socket here, a socket there. */
interface Stream {
  readonly id: number;
  readonly socket: Duplex;
  /** What may still be sent. */
  credit: number;
  /** Read from the socket and not sent, for want of credit. */
  unsent: Buffer | undefined;
  /** Given to the socket since the last credit. */
  taken: number;
  /** Given to the socket and waiting there. */
  waiting: number;
  /** What the other side may still send. */
  allowed: number;
  sentEnd: boolean;
  gotEnd: boolean;
}

/** All streams of one channel. */
export class Relay {
  readonly #connection: FrameConnection;
  readonly #options: RelayOptions;
  readonly #own: RelayFrames;
  readonly #theirs: RelayFrames;
  readonly #streams = new Map<number, Stream>();
  readonly #congested = new Set<Stream>();
  readonly #credit = Buffer.allocUnsafe(4);
  readonly #streamHolding: Holding;
  readonly #waitingHolding: Holding;
  #nextId: number;
  #waitingBytes = 0;
  #closed = false;

  constructor(connection: FrameConnection, options: RelayOptions) {
    this.#connection = connection;
    this.#options = options;
    const node = options.side === "node";
    this.#own = node ? relayFramesOfNode : relayFramesOfAgent;
    this.#theirs = node ? relayFramesOfAgent : relayFramesOfNode;
    this.#nextId = node ? 1 : 2;
    this.#streamHolding = options.streams ?? unboundedHolding;
    this.#waitingHolding = options.waiting ?? unboundedHolding;
  }

  get streamCount(): number {
    return this.#streams.size;
  }

  /** Carries a socket to a target of the other side, and owns it from now on. */
  carry(socket: Duplex, target: number): void {
    if (!this.#takeStream()) {
      socket.on("error", () => undefined);
      this.#options.abort(socket);
      return;
    }
    const id = this.#takeId();
    const payload = Buffer.allocUnsafe(2);
    payload.writeUInt16LE(target);
    this.#connection.send(this.#own.open, 0, id, payload);
    this.#add(id, socket);
  }

  /**
   * Takes a frame.
   *
   * @returns whether it was one of a relay.
   * @throws NexError `agent_protocol` when the other side sends more than it was allowed.
   */
  take(type: number, id: number, payload: Buffer): boolean {
    const theirs = this.#theirs;
    if (type === theirs.data) this.#data(id, payload);
    else if (type === theirs.credit) this.#grant(id, payload);
    else if (type === theirs.open) this.#open(id, payload);
    else if (type === theirs.end) this.#end(id);
    else if (type === theirs.reset) this.#reset(id);
    else return false;
    return true;
  }

  /** The channel takes more again. */
  drained(): void {
    for (const stream of this.#congested) {
      this.#congested.delete(stream);
      if (stream.unsent === undefined) stream.socket.resume();
      if (this.#connection.congested) return;
    }
  }

  /** Ends all streams at once. */
  close(): void {
    this.#closed = true;
    for (const stream of [...this.#streams.values()]) {
      this.#forget(stream);
      this.#options.abort(stream.socket);
    }
  }

  /** @returns whether one more stream may be opened; it is counted then. */
  #takeStream(): boolean {
    return !this.#closed && this.#streams.size < relayStreamsMax && this.#streamHolding.take(1);
  }

  #forget(stream: Stream): void {
    if (this.#streams.get(stream.id) !== stream) return;
    this.#streams.delete(stream.id);
    this.#streamHolding.give(1);
    this.#setUnsent(stream, undefined);
  }

  /** Keeps what a socket has brought until there is credit for it. @returns whether it may be kept. */
  #setUnsent(stream: Stream, unsent: Buffer | undefined): boolean {
    this.#waitingHolding.give(stream.unsent?.length ?? 0);
    stream.unsent = undefined;
    if (unsent === undefined) return true;
    if (!this.#waitingHolding.take(unsent.length)) return false;
    stream.unsent = unsent;
    return true;
  }

  #takeId(): number {
    do {
      this.#nextId = this.#nextId >= 0xffff_fffc ? (this.#nextId & 1) + 2 : this.#nextId + 2;
    } while (this.#streams.has(this.#nextId));
    return this.#nextId;
  }

  #add(id: number, socket: Duplex): void {
    const stream: Stream = {
      id,
      socket,
      credit: relayWindowBytes,
      unsent: undefined,
      taken: 0,
      waiting: 0,
      allowed: relayWindowBytes,
      sentEnd: false,
      gotEnd: false,
    };
    this.#streams.set(id, stream);
    socket.on("data", (bytes: Buffer) => this.#send(stream, bytes));
    socket.on("end", () => this.#endRead(stream));
    socket.on("drain", () => this.#taken(stream, 0));
    socket.on("error", () => undefined);
    socket.on("close", () => this.#gone(stream));
  }

  #open(id: number, payload: Buffer): void {
    const theirParity = this.#options.side === "node" ? 0 : 1;
    if (payload.length !== 2 || id === 0 || (id & 1) !== theirParity || this.#streams.has(id)) {
      throw new NexError("agent_protocol", `Cannot open a relayed stream: ${id} is no id for it`);
    }
    const isCounted = this.#takeStream();
    const socket = isCounted ? this.#options.accept(payload.readUInt16LE(0)) : undefined;
    if (socket !== undefined) {
      this.#add(id, socket);
      return;
    }
    if (isCounted) this.#streamHolding.give(1);
    this.#connection.send(this.#own.reset, 0, id);
  }

  /** Passes on what a socket brought, as far as the other side allows. */
  #send(stream: Stream, bytes: Buffer): void {
    let at = 0;
    while (at < bytes.length && stream.credit > 0) {
      const length = Math.min(bytes.length - at, stream.credit, framePayloadBytesMax);
      this.#connection.send(this.#own.data, 0, stream.id, bytes.subarray(at, at + length));
      stream.credit -= length;
      at += length;
    }
    if (at < bytes.length) {
      const rest = bytes.subarray(at);
      const unsent = stream.unsent === undefined ? rest : Buffer.concat([stream.unsent, rest]);
      if (this.#setUnsent(stream, unsent)) stream.socket.pause();
      else this.#options.abort(stream.socket);
    } else if (this.#connection.congested) {
      stream.socket.pause();
      this.#congested.add(stream);
    }
  }

  #endRead(stream: Stream): void {
    // A socket that has ended brought all; what has no credit yet goes first.
    if (stream.unsent !== undefined || stream.sentEnd) return;
    stream.sentEnd = true;
    this.#connection.send(this.#own.end, 0, stream.id);
    if (stream.socket.closed) this.#gone(stream);
  }

  #grant(id: number, payload: Buffer): void {
    const stream = this.#streams.get(id);
    if (stream === undefined || payload.length !== 4) return;
    stream.credit = Math.min(stream.credit + payload.readUInt32LE(0), relayWindowBytes);
    const { unsent } = stream;
    if (unsent === undefined) return;
    this.#setUnsent(stream, undefined);
    this.#send(stream, unsent);
    if (stream.unsent !== undefined) return;
    if (stream.socket.readableEnded) this.#endRead(stream);
    else if (!this.#congested.has(stream)) stream.socket.resume();
  }

  #data(id: number, payload: Buffer): void {
    const stream = this.#streams.get(id);
    // What was on its way when the stream ended here.
    if (stream === undefined) return;
    stream.allowed -= payload.length;
    if (stream.allowed < 0 || stream.gotEnd) {
      throw new NexError("agent_protocol", "Cannot relay: the other side sent more than it was allowed");
    }
    // A real copy: the payload belongs to the channel.
    const room = stream.socket.write(Buffer.from(payload));
    if (room) {
      this.#taken(stream, payload.length);
      return;
    }
    if (!this.#waitingHolding.take(payload.length)) {
      this.#options.abort(stream.socket);
      return;
    }
    stream.waiting += payload.length;
    this.#waitingBytes += payload.length;
    if (this.#waitingBytes > waitingBytesMax) this.#options.abort(stream.socket);
  }

  /** The socket has got rid of what waited, and of these bytes. */
  #taken(stream: Stream, bytes: number): void {
    stream.taken += bytes + stream.waiting;
    this.#noneWaits(stream);
    if (stream.taken < creditStepBytes) return;
    this.#credit.writeUInt32LE(stream.taken);
    stream.allowed += stream.taken;
    stream.taken = 0;
    this.#connection.send(this.#own.credit, 0, stream.id, this.#credit);
  }

  #noneWaits(stream: Stream): void {
    this.#waitingBytes -= stream.waiting;
    this.#waitingHolding.give(stream.waiting);
    stream.waiting = 0;
  }

  #end(id: number): void {
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    stream.gotEnd = true;
    stream.socket.end();
  }

  #reset(id: number): void {
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    this.#forget(stream);
    this.#options.abort(stream.socket);
  }

  #gone(stream: Stream): void {
    this.#noneWaits(stream);
    this.#congested.delete(stream);
    if (this.#streams.get(stream.id) !== stream) return;
    const { readableEnded, errored } = stream.socket;
    // It has ended well, and what it brought last still waits for credit.
    if (stream.unsent !== undefined && stream.gotEnd && readableEnded && !errored) return;
    this.#forget(stream);
    if (!stream.sentEnd || !stream.gotEnd) this.#connection.send(this.#own.reset, 0, stream.id);
  }
}
