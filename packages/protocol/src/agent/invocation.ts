/**
 * Function calls as frames. All numbers are little-endian.
 *
 * An invocation is a u16 length of the subject and the subject. With the `trigger` flag, a u8 place of the trigger in
 * the table of the deploy, a u16 length of the delivery and the delivery follow. With the `headers` flag, a u16 length of
 * the headers and the headers follow. The rest is the request's payload.
 *
 * A result is a u32 run time in units of 100 ns. With the `headers` flag, a u16 length of the headers and the headers
 * follow. The rest is the reply's payload. With the `error` flag, a result is a u32 run time, a u16 code and a text. With
 * the flags `error` and `retry`, a u32 retry delay in ms stands before the text; its largest value means never.
 *
 * A delivery is the ack subject of a message from a stream. For a tick of a schedule, a space and the planned time in ms
 * since 1970 can follow. It is empty for every other trigger.
 *
 * Headers are a NATS header block, from `NATS/1.0` to the empty line.
 */
import { NexError } from "../errors.ts";
import type { FrameConnection } from "./frame-connection.ts";
import { copyBytes, FrameFlag, FrameType, framePayloadBytesMax, readU32, writeU32 } from "./frames.ts";

/** Codes of error replies, as NATS services use them. */
export const CallError = { badCall: 400, timedOut: 408, overloaded: 429, threw: 500, stopped: 503 } as const;
export type CallErrorCode = (typeof CallError)[keyof typeof CallError];

/** Maximum length of an error text; longer texts are truncated. */
export const callErrorTextBytesMax = 1024;
/** Maximum size of the headers of a call or its reply. */
export const callHeaderBytesMax = 16_384;
/** Unit of run times. */
export const runTickNs = 100;

/** Maximum delay that a function can ask for before the next attempt, in ms. */
export const retryAfterMsMax = 86_400_000;
/** On the wire: there is no next attempt. */
const retryNever = 0xffff_ffff;
/** Maximum size of a delivery. */
export const deliveryBytesMax = 1_024;

export interface CallFailure {
  code: CallErrorCode;
  text: string;
  /** The function said that another attempt can't succeed. */
  retry?: false;
  /** Delay before the next attempt that the function asked for, in ms. */
  retryAfterMs?: number;
  /** Set by the node: the machine ended with the call, and perhaps because of another one. */
  machineLost?: true;
}

/** A message as offsets into a buffer, which must not change. Headers, if any, end where the payload starts. */
export interface MessageView {
  bytes: Uint8Array;
  subjectStart: number;
  subjectEnd: number;
  /** Place of the trigger in the table of the deploy, counted from 1; 0 for a trigger that the subject shows. */
  triggerPlace: number;
  deliveryStart: number;
  deliveryEnd: number;
  headersStart: number;
  payloadStart: number;
  payloadEnd: number;
}

/** Sends an invocation. All data is copied before the function returns. */
export function sendInvocation(connection: FrameConnection, id: number, view: MessageView): void {
  const { bytes, subjectStart, subjectEnd, headersStart, payloadStart, payloadEnd, triggerPlace } = view;
  const subjectBytes = subjectEnd - subjectStart;
  const headerBytes = payloadStart - headersStart;
  let headBytes = 2 + subjectBytes;
  let flags = 0;
  if (triggerPlace !== 0) {
    headBytes += 3 + view.deliveryEnd - view.deliveryStart;
    flags = FrameFlag.trigger;
  }
  if (headerBytes !== 0) {
    headBytes += 2;
    flags |= FrameFlag.headers;
  }
  const size = headBytes + payloadEnd - headersStart;
  const long = size > framePayloadBytesMax;
  let at = long ? 0 : connection.reserve(FrameType.invoke, flags, id, size);
  if (at < 0) return;
  const to = long ? Buffer.allocUnsafe(headBytes) : connection.chunk;
  to[at++] = subjectBytes;
  to[at++] = subjectBytes >>> 8;
  copyBytes(bytes, subjectStart, subjectEnd, to, at);
  at += subjectBytes;
  if (triggerPlace !== 0) at = writeTrigger(view, to, at);
  if (headerBytes > 0) {
    to[at++] = headerBytes;
    to[at++] = headerBytes >>> 8;
  }
  // The headers and the payload are contiguous.
  if (long) connection.sendParts(FrameType.invoke, flags, id, to, bytes, headersStart, payloadEnd);
  else copyBytes(bytes, headersStart, payloadEnd, to, at);
}

/** @returns the offset behind it */
function writeTrigger(view: MessageView, to: Uint8Array, at: number): number {
  const { bytes, triggerPlace, deliveryStart, deliveryEnd } = view;
  const size = deliveryEnd - deliveryStart;
  to[at] = triggerPlace - 1;
  to[at + 1] = size;
  to[at + 2] = size >>> 8;
  copyBytes(bytes, deliveryStart, deliveryEnd, to, at + 3);
  return at + 3 + size;
}

/**
 * Builds an invocation for `sendInvocation` from its parts.
 *
 * @param trigger The place of the trigger, counted from 1, and the delivery.
 */
export function messageView(
  subject: string,
  payload: Uint8Array,
  headers: Uint8Array = noBytes,
  trigger: { place: number; delivery: string } = { place: 0, delivery: "" },
): MessageView {
  const head = Buffer.from(subject);
  const delivery = Buffer.from(trigger.delivery);
  const bytes = Buffer.concat([head, delivery, headers, payload]);
  const headersStart = head.length + delivery.length;
  const payloadStart = headersStart + headers.length;
  return {
    bytes,
    subjectStart: 0,
    subjectEnd: head.length,
    triggerPlace: trigger.place,
    deliveryStart: head.length,
    deliveryEnd: headersStart,
    headersStart,
    payloadStart,
    payloadEnd: bytes.length,
  };
}

const noBytes = new Uint8Array(0);

/**
 * Locates the parts of an invocation.
 *
 * @throws NexError `agent_protocol` if it is truncated
 */
export function readInvocation(flags: number, bytes: Uint8Array, start: number, end: number): MessageView {
  const subjectStart = start + 2;
  const subjectEnd = subjectStart + (start + 2 <= end ? readU16(bytes, start) : 0);
  let triggerPlace = 0;
  let deliveryStart = subjectEnd;
  let deliveryEnd = subjectEnd;
  if ((flags & FrameFlag.trigger) !== 0) {
    deliveryStart += 3;
    deliveryEnd = deliveryStart + (deliveryStart <= end ? readU16(bytes, subjectEnd + 1) : 0);
    triggerPlace = (bytes[subjectEnd] as number) + 1;
  }
  const counted = (flags & FrameFlag.headers) !== 0 ? 2 : 0;
  const headersStart = deliveryEnd + counted;
  const payloadStart = headersStart + (counted > 0 && headersStart <= end ? readU16(bytes, deliveryEnd) : 0);
  if (start + 2 > end || payloadStart > end)
    throw new NexError("agent_protocol", "Cannot read an invocation: it is truncated");
  return {
    bytes,
    subjectStart,
    subjectEnd,
    triggerPlace,
    deliveryStart,
    deliveryEnd,
    headersStart,
    payloadStart,
    payloadEnd: end,
  };
}

/** Sends a reply. All data is copied before the function returns. */
export function sendResult(
  connection: FrameConnection,
  id: number,
  runTicks: number,
  payload: Uint8Array,
  headers: Uint8Array = noBytes,
): void {
  const headerBytes = headers.length;
  const headBytes = 4 + (headerBytes === 0 ? 0 : 2 + headerBytes);
  const size = headBytes + payload.length;
  const flags = headerBytes === 0 ? 0 : FrameFlag.headers;
  const long = size > framePayloadBytesMax;
  let at = long ? 0 : connection.reserve(FrameType.result, flags, id, size);
  if (at < 0) return;
  const to = long ? Buffer.allocUnsafe(headBytes) : connection.chunk;
  writeU32(to, at, runTicks);
  at += 4;
  if (headerBytes > 0) {
    to[at++] = headerBytes;
    to[at++] = headerBytes >>> 8;
    to.set(headers, at);
    at += headerBytes;
  }
  if (long) connection.sendParts(FrameType.result, flags, id, to, payload, 0, payload.length);
  else copyBytes(payload, 0, payload.length, to, at);
}

/** A reply as offsets into a buffer. */
export interface ReplyView {
  bytes: Uint8Array;
  runTicks: number;
  headersStart: number;
  payloadStart: number;
  payloadEnd: number;
}

/**
 * Locates the parts of a successful result.
 *
 * @throws NexError `agent_protocol` if it is truncated
 */
export function readResult(flags: number, bytes: Uint8Array, start: number, end: number): ReplyView {
  const counted = (flags & FrameFlag.headers) !== 0 ? 2 : 0;
  const headersStart = start + 4 + counted;
  const payloadStart = headersStart + (counted > 0 && headersStart <= end ? readU16(bytes, start + 4) : 0);
  if (headersStart > end || payloadStart > end)
    throw new NexError("agent_protocol", "Cannot read a result: it is truncated");
  return { bytes, runTicks: readU32(bytes, start), headersStart, payloadStart, payloadEnd: end };
}

/** Sends an error as the result of a call. */
export function sendCallFailure(
  connection: FrameConnection,
  id: number,
  failure: CallFailure,
  runTicks = 0,
): void {
  const text = cutText(failure.text, callErrorTextBytesMax);
  const retry = failure.retry === false ? retryNever : failure.retryAfterMs;
  const textAt = retry === undefined ? 6 : 10;
  const payload = Buffer.allocUnsafe(textAt + text.length);
  writeU32(payload, 0, runTicks);
  payload.writeUInt16LE(failure.code, 4);
  if (retry !== undefined) writeU32(payload, 6, retry);
  text.copy(payload, textAt);
  const flags = retry === undefined ? FrameFlag.error : FrameFlag.error | FrameFlag.retry;
  connection.send(FrameType.result, flags, id, payload);
}

const knownCodes: ReadonlySet<number> = new Set(Object.values(CallError));

/** Parses an error result; an unknown code counts as 500, and a delay out of bounds as none. */
export function parseCallFailure(flags: number, bytes: Buffer): CallFailure & { runTicks: number } {
  const code = bytes.length < 6 ? 0 : bytes.readUInt16LE(4);
  const saysRetry = (flags & FrameFlag.retry) !== 0;
  const retry = saysRetry && bytes.length >= 10 ? bytes.readUInt32LE(6) : undefined;
  const textAt = saysRetry ? 10 : 6;
  return {
    runTicks: bytes.length < 4 ? 0 : bytes.readUInt32LE(0),
    code: knownCodes.has(code) ? (code as CallErrorCode) : CallError.threw,
    text: bytes.toString("utf8", textAt, textAt + callErrorTextBytesMax),
    ...(retry === retryNever ? { retry: false as const } : {}),
    ...(retry !== undefined && retry <= retryAfterMsMax ? { retryAfterMs: retry } : {}),
  };
}

const headerBlock = /^NATS\/1\.0\r\n(?:[!-9;-~]+:[^\r\n\0]*\r\n)*\r\n$/;

/**
 * Checks that the bytes are empty or a valid NATS header block.
 *
 * @throws NexError `agent_protocol`
 */
export function checkHeaderBlock(bytes: Uint8Array, start: number, end: number): void {
  if (start === end) return;
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString("latin1");
  if (end - start > callHeaderBytesMax || !headerBlock.test(text))
    throw new NexError("agent_protocol", "Cannot read a result: its headers are not valid");
}

function readU16(bytes: Uint8Array, at: number): number {
  return (bytes[at] as number) | ((bytes[at + 1] as number) << 8);
}

/** Encodes a text as UTF-8, truncated to a number of bytes at a character boundary. */
export function cutText(text: string, bytesMax: number): Buffer {
  const bytes = Buffer.from(text.length > bytesMax ? text.slice(0, bytesMax) : text);
  if (bytes.length <= bytesMax) return bytes;
  let end = bytesMax;
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return bytes.subarray(0, end);
}
