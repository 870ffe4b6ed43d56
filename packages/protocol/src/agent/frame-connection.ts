/** One side of a frame channel: reads frames from a stream and writes them, many to a chunk. */
import type { Duplex } from "node:stream";
import { NexError, toNexError } from "../errors.ts";
import {
  copyBytes,
  FrameDecoder,
  FrameFlag,
  type FrameHandler,
  frameHeaderBytes,
  framePayloadBytesMax,
  type HotFrameHandler,
  writeU32,
} from "./frames.ts";

/** Frames are gathered into chunks of this size; a chunk goes out when it is full or when the turn ends. */
const chunkBytes = 65_536;
/** So many chunks that were written are kept for others: fresh memory costs more than the copy into it. */
const spareChunksMax = 4;
/** A writer that has not got rid of this much is broken off, whatever asked it to wait. */
const pendingBytesMax = 64 * 1024 * 1024;

/** Counts bytes that are held on one side's behalf; several holders can share one bound. */
export interface Holding {
  /** Takes an amount. @returns false, and takes nothing, when it is more than there is. */
  take(bytes: number): boolean;
  /** Gives back what was taken. */
  give(bytes: number): void;
}

/** What a `FrameConnection` tells its owner. */
export interface FrameConnectionEvents {
  frame: FrameHandler;
  /** Asked before `frame`, without a view being made. */
  hotFrame?: HotFrameHandler;
  /** All frames of what had arrived were handed out. */
  batchEnd?(): void;
  /** Once: the channel has ended, with the reason where it was not the other side's wish. */
  end(error?: NexError): void;
  /** The other side took what was written, after `send` had returned false. */
  drain?(): void;
}

/** A holding without a bound of its own, for the side that trusts the other one. */
export const unboundedHolding: Holding = { take: () => true, give: () => undefined };

const noBytes = new Uint8Array(0);
const encoder = new TextEncoder();

export class FrameConnection {
  readonly #stream: Duplex;
  readonly #events: FrameConnectionEvents;
  #chunk: Buffer = Buffer.allocUnsafeSlow(chunkBytes);
  #used = 0;
  #scheduled = false;
  #ended = false;
  readonly #spare: Buffer[] = [];
  readonly #flush = (): void => this.flush();
  readonly #pending: Holding;

  /** @param pending Counts what was written and the other side has not taken. */
  constructor(stream: Duplex, events: FrameConnectionEvents, pending = unboundedHolding) {
    this.#stream = stream;
    this.#events = events;
    this.#pending = pending;
    const { hotFrame } = events;
    const decoder = new FrameDecoder(
      (type, flags, id, payload) => {
        if (!this.#ended) events.frame(type, flags, id, payload);
      },
      hotFrame &&
        ((type, flags, id, bytes, start, end) => this.#ended || hotFrame(type, flags, id, bytes, start, end)),
    );
    stream.on("data", (bytes: Buffer) => {
      if (this.#ended) return;
      try {
        decoder.push(bytes);
        events.batchEnd?.();
      } catch (error) {
        this.close(toNexError(error, "agent_protocol"));
      }
    });
    stream.on("drain", () => events.drain?.());
    stream.on("error", (error) => this.close(toNexError(error, "agent_protocol")));
    stream.on("end", () => this.close());
    stream.on("close", () => this.close());
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Has the other side more to read than it should? Then wait for `drain`. */
  get congested(): boolean {
    return this.#stream.writableNeedDrain;
  }

  /** Bytes that the other side has not taken. */
  get pendingBytes(): number {
    return this.#stream.writableLength + this.#used;
  }

  /** Reads nothing more until `resume`; frames of what was read already are still handed out. */
  pause(): void {
    this.#stream.pause();
  }

  /** Reads on after `pause`. */
  resume(): void {
    this.#stream.resume();
  }

  /**
   * Writes one frame, whose payload must fit.
   *
   * @returns false when the other side is slow; the frame is on its way all the same.
   */
  send(type: number, flags: number, id: number, payload?: Uint8Array): boolean {
    const length = payload?.length ?? 0;
    const at = this.reserve(type, flags, id, length);
    if (payload !== undefined && at >= 0) this.#chunk.set(payload, at);
    return !this.#stream.writableNeedDrain;
  }

  /** Writes a payload of any size, split over frames. */
  sendLong(type: number, flags: number, id: number, payload: Uint8Array): boolean {
    return this.sendParts(type, flags, id, noBytes, payload, 0, payload.length);
  }

  /** Writes a payload of any size, which is a short head and a part of a buffer, split over frames. */
  sendParts(
    type: number,
    flags: number,
    id: number,
    head: Uint8Array,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): boolean {
    let headBytes = head.length;
    let from = start;
    do {
      const size = Math.min(headBytes + end - from, framePayloadBytesMax);
      const more = headBytes + end - from > framePayloadBytesMax ? FrameFlag.more : 0;
      const at = this.reserve(type, flags | more, id, size);
      if (at < 0) break;
      if (headBytes > 0) this.#chunk.set(head, at);
      const to = from + size - headBytes;
      copyBytes(bytes, from, to, this.#chunk, at + headBytes);
      from = to;
      headBytes = 0;
    } while (from < end);
    return !this.#stream.writableNeedDrain;
  }

  sendJson(type: number, value: object): boolean {
    return this.sendLong(type, 0, 0, encoder.encode(JSON.stringify(value)));
  }

  /**
   * Writes a frame's header and leaves its payload to the caller, who fills `chunk` from the returned offset at once.
   *
   * @returns the offset, or -1 when the channel has ended and nothing can be written.
   */
  reserve(type: number, flags: number, id: number, payloadBytes: number): number {
    if (this.#ended) return -1;
    if (payloadBytes > framePayloadBytesMax) {
      throw new NexError("internal", `Cannot write a frame of ${payloadBytes} bytes`);
    }
    const bytes = frameHeaderBytes + payloadBytes;
    if (this.#used + bytes > chunkBytes) {
      this.flush();
      if (this.#ended) return -1;
    }
    const at = this.#used;
    const chunk = this.#chunk;
    writeU32(chunk, at, bytes - 4);
    chunk[at + 4] = type;
    chunk[at + 5] = flags;
    chunk[at + 6] = 0;
    chunk[at + 7] = 0;
    writeU32(chunk, at + 8, id);
    this.#used = at + bytes;
    if (!this.#scheduled) {
      this.#scheduled = true;
      setImmediate(this.#flush);
    }
    return at + frameHeaderBytes;
  }

  /** Is something gathered that has not been sent? */
  get unsent(): boolean {
    return this.#used > 0;
  }

  get chunk(): Buffer {
    return this.#chunk;
  }

  /** Sends what was gathered now, without waiting for the end of the turn. */
  flush(): void {
    this.#scheduled = false;
    if (this.#used === 0 || this.#ended) return;
    const chunk = this.#chunk;
    const used = this.#used;
    const isHeld = this.#pending.take(used);
    // The stream keeps the bytes until they are written.
    this.#stream.write(chunk.subarray(0, used), () => {
      if (isHeld) this.#pending.give(used);
      if (this.#spare.length < spareChunksMax) this.#spare.push(chunk);
    });
    this.#chunk = this.#spare.pop() ?? Buffer.allocUnsafeSlow(chunkBytes);
    this.#used = 0;
    if (!isHeld || this.#stream.writableLength > pendingBytesMax) {
      this.close(new NexError("agent_protocol", "Cannot write frames: the other side does not read"));
    }
  }

  /** Ends the channel. Idempotent. */
  close(error?: NexError): void {
    if (this.#ended) return;
    if (error === undefined) this.flush();
    // Flushing may have found that the other side does not read.
    if (this.#ended) return;
    this.#ended = true;
    if (error === undefined) this.#stream.end();
    else this.#stream.destroy();
    this.#events.end(error);
  }
}
