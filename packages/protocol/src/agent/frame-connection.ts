/** One side of a frame channel: reads and writes frames on a stream, batching many frames into a chunk. */
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

/** Size of a write chunk. A chunk is sent when it is full, or at the end of the event loop turn. */
const chunkBytes = 65_536;
/** Maximum number of written chunks kept for reuse. Allocating memory costs more than copying into existing chunks. */
const spareChunksMax = 4;
/** Maximum number of unsent bytes; beyond it, the channel is closed. */
const pendingBytesMax = 64 * 1024 * 1024;

/** Byte budget. Several users can share one limit. */
export interface Holding {
  /** Reserves an amount. @returns false, and reserves nothing, if too little is left. */
  take(bytes: number): boolean;
  /** Counts an amount that can't be refused any more, also beyond the limit. */
  count(bytes: number): void;
  /** Releases a reserved amount. */
  give(bytes: number): void;
}

/** Callbacks of a `FrameConnection`. */
export interface FrameConnectionEvents {
  frame: FrameHandler;
  /** Called before `frame`, without allocating a view of the payload. */
  hotFrame?: HotFrameHandler;
  /** Called after all frames that arrived together have been handled. */
  batchEnd?(): void;
  /** Called once when the channel closes, with an error unless the other side closed it on purpose. */
  end(error?: NexError): void;
  /** Called when the other side has read the pending writes after `send` returned false. */
  drain?(): void;
}

/** A budget without a limit, for the side that trusts its peer. */
export const unboundedHolding: Holding = {
  take: () => true,
  count: () => undefined,
  give: () => undefined,
};

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

  /** @param pending Budget for bytes written but not yet read by the other side. */
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

  /** Whether the other side reads too slowly. If so, wait for `drain`. */
  get congested(): boolean {
    return this.#stream.writableNeedDrain;
  }

  /** Bytes that the other side has not read yet. */
  get pendingBytes(): number {
    return this.#stream.writableLength + this.#used;
  }

  /** Stops reading until `resume`. Frames that have already been read are still delivered. */
  pause(): void {
    this.#stream.pause();
  }

  /** Continues reading after `pause`. */
  resume(): void {
    this.#stream.resume();
  }

  /**
   * Writes one frame, whose payload must fit.
   *
   * @returns false if the other side is slow; the frame is sent nevertheless.
   */
  send(type: number, flags: number, id: number, payload?: Uint8Array): boolean {
    const length = payload?.length ?? 0;
    const at = this.reserve(type, flags, id, length);
    if (payload !== undefined && at >= 0) this.#chunk.set(payload, at);
    return !this.#stream.writableNeedDrain;
  }

  /** Writes a payload of any size, split across frames. */
  sendLong(type: number, flags: number, id: number, payload: Uint8Array): boolean {
    return this.sendParts(type, flags, id, noBytes, payload, 0, payload.length);
  }

  /** Writes a short head followed by a range of a buffer, split across frames. */
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
   * Writes a frame's header and reserves space for the payload. The caller must fill `chunk` at the returned offset
   * immediately.
   *
   * @returns the offset, or -1 if the channel is closed.
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

  /** Whether the current chunk holds unsent frames. */
  get unsent(): boolean {
    return this.#used > 0;
  }

  get chunk(): Buffer {
    return this.#chunk;
  }

  /** Sends the current chunk without waiting for the end of the turn. */
  flush(): void {
    this.#scheduled = false;
    if (this.#used === 0 || this.#ended) return;
    const chunk = this.#chunk;
    const used = this.#used;
    // Whoever sends something large asks the budget before. A full budget is no fault of this channel.
    this.#pending.count(used);
    // The stream references the bytes until they are written.
    this.#stream.write(chunk.subarray(0, used), () => {
      this.#pending.give(used);
      if (this.#spare.length < spareChunksMax) this.#spare.push(chunk);
    });
    this.#chunk = this.#spare.pop() ?? Buffer.allocUnsafeSlow(chunkBytes);
    this.#used = 0;
    if (this.#stream.writableLength > pendingBytesMax) {
      this.close(new NexError("agent_protocol", "Cannot write frames: the other side does not read"));
    }
  }

  /** Closes the channel. Idempotent. */
  close(error?: NexError): void {
    if (this.#ended) return;
    if (error === undefined) this.flush();
    // Flushing may have closed the channel because the other side does not read.
    if (this.#ended) return;
    this.#ended = true;
    if (error === undefined) this.#stream.end();
    else this.#stream.destroy();
    this.#events.end(error);
  }
}
