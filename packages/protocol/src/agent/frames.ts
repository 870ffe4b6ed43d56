/**
 * Frames of a machine's first channel, in both directions. All numbers are little-endian.
 *
 *     0  u32  length of the rest: 8 bytes and the payload
 *     4  u8   type
 *     5  u8   flags
 *     6  u16  zero
 *     8  u32  id of a call or ping, otherwise 0
 *     12      payload
 */
import { NexError } from "../errors.ts";

/** Version of frames and their content; both sides must use the same. */
export const agentProtocolVersion = 2;

export const frameHeaderBytes = 12;
/** Maximum size of a frame, header included. Longer payloads are split. */
export const frameBytesMax = 65_536;
export const framePayloadBytesMax = frameBytesMax - frameHeaderBytes;

/** Types below 32 are sent by the node, types from 32 on by the agent. */
export const FrameType = {
  /** JSON `Attach`; the first frame of an epoch. */
  attach: 1,
  /** JSON `Welcome`; answers a hello. */
  welcome: 2,
  /** Next bytes of the artifact; the last frame does not have `more`. */
  artifact: 3,
  /** JSON `Deploy`; sent after the whole artifact. */
  deploy: 4,
  /** JSON `Undeploy`. */
  undeploy: 5,
  /** A function call, see `invocation.ts`. */
  invoke: 6,
  /** Cancels a call: its answer is no longer needed. */
  cancel: 7,
  ping: 8,
  /** Reply to a host call, see `host-call.ts`. */
  hostReply: 9,
  /** Relayed streams, node side, see `relay.ts`. */
  nodeRelayOpen: 16,
  nodeRelayData: 17,
  nodeRelayEnd: 18,
  nodeRelayReset: 19,
  nodeRelayCredit: 20,
  /** JSON `Hello`; answers an attach. */
  hello: 32,
  /** u32: number of further artifact bytes the node may send. */
  credit: 33,
  /** JSON `Deployed`; answers a deploy. */
  deployed: 34,
  /** Reports that the first n calls of this epoch, in the order given, have started. The id is n, counted from 1. */
  began: 35,
  /** Result of a call, see `invocation.ts`. */
  result: 36,
  /** A log line: u8 level, then text. */
  log: 37,
  /** JSON `Exited`: the workload has exited, by itself or after an undeploy. */
  exited: 38,
  pong: 39,
  /** The id is the number of calls that may start beyond those answered or reported; 1 before the first such frame. */
  window: 40,
  /** A non-blocking call of a host service, see `host-call.ts`. */
  hostCall: 41,
  /** Relayed streams, agent side. */
  agentRelayOpen: 48,
  agentRelayData: 49,
  agentRelayEnd: 50,
  agentRelayReset: 51,
  agentRelayCredit: 52,
} as const;
export type FrameType = (typeof FrameType)[keyof typeof FrameType];

export const FrameFlag = {
  /** The payload fills its frame and continues in the next frame of the same type and id. */
  more: 1,
  /** The result is an error. */
  error: 2,
  /** The invocation or result has headers before its payload. */
  headers: 4,
  /** The invocation has a trigger and its delivery after its subject. */
  trigger: 8,
  /** The error says when the call may be tried again. */
  retry: 16,
} as const;

/** Receives each frame. The payload is a view of a buffer that stays unchanged as long as it is referenced. */
export type FrameHandler = (type: number, flags: number, id: number, payload: Buffer) => void;

/**
 * Receives each frame first, as offsets into a buffer that stays unchanged as long as it is referenced.
 *
 * @returns whether it has handled the frame.
 */
export type HotFrameHandler = (
  type: number,
  flags: number,
  id: number,
  bytes: Buffer,
  start: number,
  end: number,
) => boolean;

const noBytes = Buffer.alloc(0);

/** Splits a byte stream into frames, buffering at most one incomplete frame. */
export class FrameDecoder {
  readonly #handler: FrameHandler;
  readonly #hot: HotFrameHandler | undefined;
  /** The incomplete frame, or at first only its length. */
  #partial: Buffer = noBytes;
  #filled = 0;

  constructor(handler: FrameHandler, hot?: HotFrameHandler) {
    this.#handler = handler;
    this.#hot = hot;
  }

  /**
   * Adds bytes and delivers all complete frames.
   *
   * @throws NexError `agent_protocol` if a length is out of bounds; decoding can't continue then.
   */
  push(chunk: Buffer): void {
    let at = this.#partial.length === 0 ? 0 : this.#complete(chunk);
    while (chunk.length - at >= lengthBytes) {
      const end = at + lengthBytes + checkedLength(chunk, at);
      if (end > chunk.length) break;
      this.#handOut(chunk, at, end);
      at = end;
    }
    if (at < chunk.length) this.#keep(chunk, at);
  }

  /** Continues the incomplete frame. @returns the offset of the next frame in the chunk. */
  #complete(chunk: Buffer): number {
    let at = this.#fill(chunk, 0);
    if (this.#filled < this.#partial.length) return at;
    if (this.#partial.length === lengthBytes) {
      const whole = Buffer.allocUnsafeSlow(lengthBytes + checkedLength(this.#partial, 0));
      this.#partial.copy(whole);
      this.#partial = whole;
      at = this.#fill(chunk, at);
      if (this.#filled < whole.length) return at;
    }
    const frame = this.#partial;
    this.#partial = noBytes;
    this.#filled = 0;
    this.#handOut(frame, 0, frame.length);
    return at;
  }

  #fill(chunk: Buffer, at: number): number {
    const size = Math.min(this.#partial.length - this.#filled, chunk.length - at);
    chunk.copy(this.#partial, this.#filled, at, at + size);
    this.#filled += size;
    return at + size;
  }

  /** Buffers the start of a frame, with space for all of it. */
  #keep(chunk: Buffer, at: number): void {
    const isLengthThere = chunk.length - at >= lengthBytes;
    const size = isLengthThere ? lengthBytes + readU32(chunk, at) : lengthBytes;
    this.#partial = Buffer.allocUnsafeSlow(size);
    this.#filled = 0;
    this.#fill(chunk, at);
  }

  #handOut(bytes: Buffer, at: number, end: number): void {
    const type = bytes[at + 4] as number;
    const flags = bytes[at + 5] as number;
    const id = readU32(bytes, at + 8);
    const start = at + frameHeaderBytes;
    const hot = this.#hot;
    if (hot === undefined || !hot(type, flags, id, bytes, start, end))
      this.#handler(type, flags, id, bytes.subarray(start, end));
  }
}

const lengthBytes = 4;

/** @throws NexError `agent_protocol` if the length is out of bounds */
function checkedLength(bytes: Buffer, at: number): number {
  const length = readU32(bytes, at);
  if (length >= frameHeaderBytes - lengthBytes && length <= frameBytesMax - lengthBytes) return length;
  throw new NexError("agent_protocol", `Cannot read frames: a frame of ${length} bytes is out of bounds`);
}

/** Reads a little-endian u32; the caller must check the bounds. */
export function readU32(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24)) >>>
    0
  );
}

/** Writes a little-endian u32; the caller must check the bounds. */
export function writeU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}

/** Below this size, a loop is faster than `TypedArray.set`. */
const loopBytesMax = 64;

/** Copies bytes, without allocating a view for short ranges. */
export function copyBytes(from: Uint8Array, start: number, end: number, to: Uint8Array, at: number): void {
  if (end - start > loopBytesMax) {
    to.set(from.subarray(start, end), at);
    return;
  }
  for (let next = start; next < end; next++) to[at + next - start] = from[next] as number;
}

/** Reassembles payloads that were split across frames. */
export class PayloadAssembler {
  readonly #payloadBytesMax: number;
  readonly #parts = new Map<number, { chunks: Buffer[]; bytes: number }>();
  #bytes = 0;

  /** @param payloadBytesMax Limit for all incomplete payloads together. */
  constructor(payloadBytesMax: number) {
    this.#payloadBytesMax = payloadBytesMax;
  }

  /** Whether no payload is incomplete. */
  get empty(): boolean {
    return this.#parts.size === 0;
  }

  /**
   * Adds the payload of one frame, which must not change afterwards.
   *
   * @returns the whole payload after its last part; a payload of one part is returned as is.
   * @throws NexError `agent_protocol` if incomplete payloads exceed the limit, or if a part other than the last one
   * does not fill its frame. Many small parts would take more memory than their bytes.
   */
  add(flags: number, id: number, payload: Buffer): Buffer | undefined {
    const more = (flags & FrameFlag.more) !== 0;
    const parts = this.#parts.get(id);
    if (parts === undefined && !more) return payload;
    if (more && payload.length !== framePayloadBytesMax) {
      throw new NexError(
        "agent_protocol",
        `Cannot reassemble a payload: a part of ${payload.length} bytes is not the last one`,
      );
    }
    if (this.#bytes + payload.length > this.#payloadBytesMax) {
      throw new NexError(
        "agent_protocol",
        `Cannot reassemble a payload: it is over ${this.#payloadBytesMax} bytes`,
      );
    }
    const kept = parts ?? { chunks: [], bytes: 0 };
    kept.chunks.push(payload);
    kept.bytes += payload.length;
    this.#bytes += payload.length;
    if (more) {
      this.#parts.set(id, kept);
      return undefined;
    }
    this.#parts.delete(id);
    this.#bytes -= kept.bytes;
    return Buffer.concat(kept.chunks, kept.bytes);
  }

  /** Buffered bytes of an incomplete payload. */
  bytesOf(id: number): number {
    return this.#parts.get(id)?.bytes ?? 0;
  }

  /** Discards an incomplete payload. @returns the number of bytes freed. */
  drop(id: number): number {
    const parts = this.#parts.get(id);
    if (parts === undefined) return 0;
    this.#parts.delete(id);
    this.#bytes -= parts.bytes;
    return parts.bytes;
  }
}
