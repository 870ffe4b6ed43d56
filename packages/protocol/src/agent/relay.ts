/**
 * Byte streams over a frame channel: what a machine's agent and its node carry for each other's sockets. Either side
 * opens streams, with ids of its own parity. Payloads: `open` a u16 that names one of the targets that both know,
 * `data` bytes, `credit` a u32 of bytes that may be sent beyond the first window, `end` and `reset` nothing.
 */
import type { Duplex } from "node:stream";
import { NexError } from "../errors.ts";
import type { FrameConnection } from "./frame-connection.ts";
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
  }

  get streamCount(): number {
    return this.#streams.size;
  }

  /** Carries a socket to a target of the other side, and owns it from now on. */
  carry(socket: Duplex, target: number): void {
    if (this.#closed || this.#streams.size >= relayStreamsMax) {
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
    const streams = [...this.#streams.values()];
    this.#streams.clear();
    for (const { socket } of streams) this.#options.abort(socket);
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
    const full = this.#closed || this.#streams.size >= relayStreamsMax;
    const socket = full ? undefined : this.#options.accept(payload.readUInt16LE(0));
    if (socket === undefined) this.#connection.send(this.#own.reset, 0, id);
    else this.#add(id, socket);
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
      stream.unsent = stream.unsent === undefined ? rest : Buffer.concat([stream.unsent, rest]);
      stream.socket.pause();
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
    stream.unsent = undefined;
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
    stream.waiting += payload.length;
    this.#waitingBytes += payload.length;
    if (this.#waitingBytes > waitingBytesMax) this.#options.abort(stream.socket);
  }

  /** The socket has got rid of what waited, and of these bytes. */
  #taken(stream: Stream, bytes: number): void {
    this.#waitingBytes -= stream.waiting;
    stream.taken += bytes + stream.waiting;
    stream.waiting = 0;
    if (stream.taken < creditStepBytes) return;
    this.#credit.writeUInt32LE(stream.taken);
    stream.allowed += stream.taken;
    stream.taken = 0;
    this.#connection.send(this.#own.credit, 0, stream.id, this.#credit);
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
    this.#streams.delete(id);
    this.#options.abort(stream.socket);
  }

  #gone(stream: Stream): void {
    this.#waitingBytes -= stream.waiting;
    stream.waiting = 0;
    this.#congested.delete(stream);
    if (this.#streams.get(stream.id) !== stream) return;
    const { readableEnded, errored } = stream.socket;
    // It has ended well, and what it brought last still waits for credit.
    if (stream.unsent !== undefined && stream.gotEnd && readableEnded && !errored) return;
    this.#streams.delete(stream.id);
    if (!stream.sentEnd || !stream.gotEnd) this.#connection.send(this.#own.reset, 0, stream.id);
  }
}
