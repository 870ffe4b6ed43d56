/**
 * Frames: what goes over the first channel of a machine, in both directions. All numbers are little-endian.
 *
 *     0  u32  length of what follows it: 8 and the payload
 *     4  u8   type
 *     5  u8   flags
 *     6  u16  zero
 *     8  u32  id: of a call or ping; 0 where there is none
 *     12      payload
 */
import { NexError } from "../errors.ts";

/** The version of frames and of what they carry; both sides must speak the same. */
export const agentProtocolVersion = 2;

export const frameHeaderBytes = 12;
/** A whole frame, header included. Longer payloads are split. */
export const frameBytesMax = 65_536;
export const framePayloadBytesMax = frameBytesMax - frameHeaderBytes;

/** Types below 32 come from the node, those from 32 on from the agent. */
export const FrameType = {
  /** JSON `Attach`; the first frame of an epoch. */
  attach: 1,
  /** JSON `Welcome`; answers a hello. */
  welcome: 2,
  /** The next bytes of the artifact, as many as there are; the last frame is without `more`. */
  artifact: 3,
  /** JSON `Deploy`; after the whole artifact. */
  deploy: 4,
  /** JSON `Undeploy`. */
  undeploy: 5,
  /** A call of a function, see `invocation.ts`. */
  invoke: 6,
  /** The call's answer is no longer wanted. */
  cancel: 7,
  ping: 8,
  /** The answer to a host call, see `host-call.ts`. */
  hostReply: 9,
  /** The node's side of relayed streams, see `relay.ts`. */
  nodeRelayOpen: 16,
  nodeRelayData: 17,
  nodeRelayEnd: 18,
  nodeRelayReset: 19,
  nodeRelayCredit: 20,
  /** JSON `Hello`; answers an attach. */
  hello: 32,
  /** u32: how many more bytes of the artifact may be sent. */
  credit: 33,
  /** JSON `Deployed`; answers a deploy. */
  deployed: 34,
  /** The calls of this epoch up to the n-th, by the order in which they were given, have begun; the id is n, from 1 on. */
  began: 35,
  /** The call's answer, see `invocation.ts`. */
  result: 36,
  /** A log line: u8 level, then text. */
  log: 37,
  /** JSON `Exited`: the workload ended, by itself or after an undeploy. */
  exited: 38,
  pong: 39,
  /** So many calls, which the id says, may begin beyond those that were answered or named; 1 before the first of these. */
  window: 40,
  /** A call of a host service that does not block, see `host-call.ts`. */
  hostCall: 41,
  /** The agent's side of relayed streams. */
  agentRelayOpen: 48,
  agentRelayData: 49,
  agentRelayEnd: 50,
  agentRelayReset: 51,
  agentRelayCredit: 52,
} as const;
export type FrameType = (typeof FrameType)[keyof typeof FrameType];

export const FrameFlag = {
  /** The payload, which fills its frame, goes on in the next frame of the same type and id. */
  more: 1,
  /** Of a result: it is an error. */
  error: 2,
  /** Of an invocation or a result: headers stand before the payload. */
  headers: 4,
} as const;

/** Gets each frame; the payload is a view on what was read, which stays as it is for as long as somebody holds it. */
export type FrameHandler = (type: number, flags: number, id: number, payload: Buffer) => void;

/**
 * Gets each frame first, as a place in what was read, which stays as it is for as long as somebody holds it.
 *
 * @returns whether it has taken the frame.
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

/** Cuts a stream of bytes into frames, buffering at most one incomplete frame. */
export class FrameDecoder {
  readonly #handler: FrameHandler;
  readonly #hot: HotFrameHandler | undefined;
  /** A frame that is not whole yet, or at first its length alone. */
  #partial: Buffer = noBytes;
  #filled = 0;

  constructor(handler: FrameHandler, hot?: HotFrameHandler) {
    this.#handler = handler;
    this.#hot = hot;
  }

  /**
   * Takes the next bytes and hands out the frames that are complete.
   *
   * @throws NexError `agent_protocol` for a length out of bounds; the stream can't be read on then.
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

  /** Goes on with the frame that is not whole. @returns where the next one begins in the chunk. */
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

  /** Keeps the begin of a frame, with room for all of it. */
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

/** @throws NexError `agent_protocol` when it is out of bounds */
function checkedLength(bytes: Buffer, at: number): number {
  const length = readU32(bytes, at);
  if (length >= frameHeaderBytes - lengthBytes && length <= frameBytesMax - lengthBytes) return length;
  throw new NexError("agent_protocol", `Cannot read frames: a frame of ${length} bytes is out of bounds`);
}

/** Reads a little-endian u32 that is known to be there. */
export function readU32(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24)) >>>
    0
  );
}

/** Writes a little-endian u32 where there is room for it. */
export function writeU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}

/** Below this a loop copies faster than what the engine offers for any size. */
const loopBytesMax = 64;

/** Copies bytes without making a view for a few of them. */
export function copyBytes(from: Uint8Array, start: number, end: number, to: Uint8Array, at: number): void {
  if (end - start > loopBytesMax) {
    to.set(from.subarray(start, end), at);
    return;
  }
  for (let next = start; next < end; next++) to[at + next - start] = from[next] as number;
}

/** Puts together payloads that were split over several frames. */
export class PayloadAssembler {
  readonly #payloadBytesMax: number;
  readonly #parts = new Map<number, { chunks: Buffer[]; bytes: number }>();
  #bytes = 0;

  /** @param payloadBytesMax Of all unfinished payloads together. */
  constructor(payloadBytesMax: number) {
    this.#payloadBytesMax = payloadBytesMax;
  }

  /** Is nothing unfinished? */
  get empty(): boolean {
    return this.#parts.size === 0;
  }

  /**
   * Takes one frame's payload, which must stay as it is.
   *
   * @returns the whole payload when this was its last part: the given view itself when it was the only one.
   * @throws NexError `agent_protocol` when too much is unfinished, or when a part that is not the last one does not
   *   fill its frame: many small ones would take more memory than their bytes.
   */
  add(flags: number, id: number, payload: Buffer): Buffer | undefined {
    const more = (flags & FrameFlag.more) !== 0;
    const parts = this.#parts.get(id);
    if (parts === undefined && !more) return payload;
    if (more && payload.length !== framePayloadBytesMax) {
      throw new NexError(
        "agent_protocol",
        `Cannot put a payload together: a part of ${payload.length} bytes is not the last one`,
      );
    }
    if (this.#bytes + payload.length > this.#payloadBytesMax) {
      throw new NexError(
        "agent_protocol",
        `Cannot put a payload together: it is over ${this.#payloadBytesMax} bytes`,
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

  /** Bytes that are kept of an unfinished payload. */
  bytesOf(id: number): number {
    return this.#parts.get(id)?.bytes ?? 0;
  }

  /** Forgets an unfinished payload. @returns how many bytes were kept of it. */
  drop(id: number): number {
    const parts = this.#parts.get(id);
    if (parts === undefined) return 0;
    this.#parts.delete(id);
    this.#bytes -= parts.bytes;
    return parts.bytes;
  }
}
