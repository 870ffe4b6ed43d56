/**
 * Byte streams over a frame channel, with which a machine's agent and its node relay each other's sockets. Either side
 * opens streams; the parity of a stream's id tells which.
 *
 * Payloads: `open` has a u16 that identifies a target known to both sides; `data` has bytes; `credit` has a u32, the
 * number of bytes that may be sent beyond the first window; `end` and `reset` are empty. An agent sends a credit of 0
 * as soon as it has connected a stream, so that its node can tell an open port from one that nobody serves.
 */
import type { Duplex } from "node:stream";
import { NexError } from "../errors.ts";
import { type FrameConnection, type Holding, unboundedHolding } from "./frame-connection.ts";
import { FrameType, framePayloadBytesMax } from "./frames.ts";

/** Maximum number of bytes of one stream that are in flight or buffered at the receiver. */
export const relayWindowBytes = 262_144;
/** Credit is granted in steps of this size. */
const creditStepBytes = relayWindowBytes / 4;
/** Maximum number of streams per channel; further ones are reset. */
export const relayStreamsMax = 4_096;
/** Maximum number of bytes buffered for all slow sockets of a channel. A stream that exceeds it is reset. */
const waitingBytesMax = 67_108_864;

/** Frame types that one side sends. */
export interface RelayFrames {
  open: number;
  data: number;
  end: number;
  reset: number;
  credit: number;
}

const relayFramesOfNode: RelayFrames = {
  open: FrameType.nodeRelayOpen,
  data: FrameType.nodeRelayData,
  end: FrameType.nodeRelayEnd,
  reset: FrameType.nodeRelayReset,
  credit: FrameType.nodeRelayCredit,
};

const relayFramesOfAgent: RelayFrames = {
  open: FrameType.agentRelayOpen,
  data: FrameType.agentRelayData,
  end: FrameType.agentRelayEnd,
  reset: FrameType.agentRelayReset,
  credit: FrameType.agentRelayCredit,
};

/** Options of one side of a relay. */
export interface RelayOptions {
  /** Side that this relay runs on. */
  side: "node" | "agent";
  /**
   * Opens a target for the other side; `undefined` refuses it. The socket has `allowHalfOpen` and may still be
   * connecting.
   */
  accept(target: number): Duplex | undefined;
  /** Aborts a socket, so that its peer does not see a clean end. */
  abort(socket: Duplex): void;
  /** Budget of open streams, in addition to the limit per channel. Streams beyond it are reset. */
  streams?: Holding;
  /** Budget of bytes that wait for a slow socket or for credit. A stream that exceeds it is aborted. */
  waiting?: Holding;
}

/**
 * Aborts a TCP socket with a reset. A socket whose FIN is still pending can't be reset: its handle would never be
 * closed, which leaks the descriptor. Such a socket is destroyed instead.
 */
export function breakOff(socket: Duplex & { resetAndDestroy(): unknown }): void {
  if (socket.writableEnded && !socket.writableFinished) socket.destroy();
  else socket.resetAndDestroy();
}

/** A stream between a socket here and a socket on the other side. */
interface Stream {
  readonly id: number;
  readonly socket: Duplex;
  /** Bytes that this side may still send. */
  credit: number;
  /** Bytes read from the socket that wait for credit. */
  unsent: Buffer | undefined;
  /** Bytes written to the socket since the last credit. */
  taken: number;
  /** Bytes buffered by the socket. */
  waiting: number;
  /** Bytes that the other side may still send. */
  allowed: number;
  sentEnd: boolean;
  gotEnd: boolean;
  /** Called once, when the other side has connected. */
  connected: (() => void) | undefined;
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

  /**
   * Relays a socket to a target of the other side, and takes ownership of it.
   *
   * @param connected Called once, when the other side has connected.
   */
  carry(socket: Duplex, target: number, connected?: () => void): void {
    if (!this.#takeStream()) {
      socket.on("error", () => undefined);
      this.#options.abort(socket);
      return;
    }
    const id = this.#takeId();
    const payload = Buffer.allocUnsafe(2);
    payload.writeUInt16LE(target);
    this.#connection.send(this.#own.open, 0, id, payload);
    this.#add(id, socket, connected);
  }

  /**
   * Handles a frame.
   *
   * @returns whether it was a relay frame.
   * @throws NexError `agent_protocol` if the other side exceeds its credit.
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

  /** Resumes sockets after the channel has drained. */
  drained(): void {
    for (const stream of this.#congested) {
      this.#congested.delete(stream);
      if (stream.unsent === undefined) stream.socket.resume();
      if (this.#connection.congested) return;
    }
  }

  /** Aborts all streams. */
  close(): void {
    this.#closed = true;
    for (const stream of [...this.#streams.values()]) {
      this.#forget(stream);
      this.#options.abort(stream.socket);
    }
  }

  /** Reserves a stream. @returns whether one more stream may be opened. */
  #takeStream(): boolean {
    return !this.#closed && this.#streams.size < relayStreamsMax && this.#streamHolding.take(1);
  }

  #forget(stream: Stream): void {
    if (this.#streams.get(stream.id) !== stream) return;
    this.#streams.delete(stream.id);
    this.#streamHolding.give(1);
    this.#setUnsent(stream, undefined);
  }

  /** Buffers bytes until there is credit for them. @returns whether they fit the budget. */
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

  #add(id: number, socket: Duplex, connected?: () => void): void {
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
      connected,
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
      throw new NexError("agent_protocol", `Cannot open a relayed stream: ${id} is not a valid new id`);
    }
    const isCounted = this.#takeStream();
    const socket = isCounted ? this.#options.accept(payload.readUInt16LE(0)) : undefined;
    if (socket !== undefined) {
      this.#add(id, socket);
      if (this.#options.side === "agent") socket.once("connect", () => this.#tellConnected(id));
      return;
    }
    if (isCounted) this.#streamHolding.give(1);
    this.#connection.send(this.#own.reset, 0, id);
  }

  #tellConnected(id: number): void {
    if (!this.#streams.has(id)) return;
    this.#credit.writeUInt32LE(0);
    this.#connection.send(this.#own.credit, 0, id, this.#credit);
  }

  /** Notes that the other side has connected: it sends something else than a reset. */
  #heard(stream: Stream): void {
    const { connected } = stream;
    stream.connected = undefined;
    connected?.();
  }

  /** Forwards bytes from a socket, as far as the credit allows. */
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
    // After the socket's end, buffered bytes must be sent before the `end` frame.
    if (stream.unsent !== undefined || stream.sentEnd) return;
    stream.sentEnd = true;
    this.#connection.send(this.#own.end, 0, stream.id);
    if (stream.socket.closed) this.#gone(stream);
  }

  #grant(id: number, payload: Buffer): void {
    const stream = this.#streams.get(id);
    if (stream === undefined || payload.length !== 4) return;
    this.#heard(stream);
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
    // Data may still be in flight after the stream has closed here.
    if (stream === undefined) return;
    stream.allowed -= payload.length;
    if (stream.allowed < 0 || stream.gotEnd) {
      throw new NexError("agent_protocol", "Cannot relay: the other side sent more than its credit allows");
    }
    this.#heard(stream);
    // Copy the payload, because its memory belongs to the channel.
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

  /** Accounts for bytes that the socket has written, including all buffered ones. */
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
    this.#heard(stream);
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
    // The stream ended cleanly, but its last bytes still wait for credit.
    if (stream.unsent !== undefined && stream.gotEnd && readableEnded && !errored) return;
    this.#forget(stream);
    if (!stream.sentEnd || !stream.gotEnd) this.#connection.send(this.#own.reset, 0, stream.id);
  }
}
