/**
 * Calls of functions as frames. An invocation is u16 length of the subject, the subject, then the request's payload; a
 * result is the reply's payload, or with the `error` flag u16 code and a text.
 */
import { NexError } from "../errors.ts";
import type { FrameConnection } from "./frame-connection.ts";
import { FrameFlag, FrameType, framePayloadBytesMax } from "./frames.ts";

/** The codes of an error reply, as services on NATS use them. */
export const CallError = { badCall: 400, timedOut: 408, overloaded: 429, threw: 500, stopped: 503 } as const;
export type CallErrorCode = (typeof CallError)[keyof typeof CallError];

/** Texts of errors are cut to this. */
export const callErrorTextBytesMax = 1024;

export interface CallFailure {
  code: CallErrorCode;
  text: string;
}

/** Sends an invocation; the payload is copied before this returns. */
export function sendInvocation(
  connection: FrameConnection,
  id: number,
  subject: string,
  payload: Uint8Array,
): void {
  const subjectBytes = Buffer.byteLength(subject);
  const bytes = 2 + subjectBytes + payload.length;
  if (bytes <= framePayloadBytesMax) {
    const at = connection.reserve(FrameType.invoke, 0, id, bytes);
    if (at < 0) return;
    const { chunk } = connection;
    chunk.writeUInt16LE(subjectBytes, at);
    chunk.write(subject, at + 2);
    chunk.set(payload, at + 2 + subjectBytes);
    return;
  }
  const whole = Buffer.allocUnsafe(bytes);
  whole.writeUInt16LE(subjectBytes, 0);
  whole.write(subject, 2);
  whole.set(payload, 2 + subjectBytes);
  connection.sendLong(FrameType.invoke, 0, id, whole);
}

/** Reads an invocation; the payload is a view. */
export function parseInvocation(bytes: Buffer): { subject: string; payload: Buffer } {
  const subjectBytes = bytes.length < 2 ? 0 : bytes.readUInt16LE(0);
  if (bytes.length < 2 + subjectBytes)
    throw new NexError("agent_protocol", "Cannot read an invocation: it is cut off");
  return { subject: bytes.toString("utf8", 2, 2 + subjectBytes), payload: bytes.subarray(2 + subjectBytes) };
}

/** Sends an error as the result of a call. */
export function sendCallFailure(connection: FrameConnection, id: number, failure: CallFailure): void {
  const text = cutText(failure.text, callErrorTextBytesMax);
  const payload = Buffer.allocUnsafe(2 + text.length);
  payload.writeUInt16LE(failure.code, 0);
  text.copy(payload, 2);
  connection.send(FrameType.result, FrameFlag.error, id, payload);
}

const knownCodes: ReadonlySet<number> = new Set(Object.values(CallError));

/** Reads an error result; an unknown code counts as 500. */
export function parseCallFailure(bytes: Buffer): CallFailure {
  const code = bytes.length < 2 ? 0 : bytes.readUInt16LE(0);
  return {
    code: knownCodes.has(code) ? (code as CallErrorCode) : CallError.threw,
    text: bytes.toString("utf8", 2, 2 + callErrorTextBytesMax),
  };
}

/** UTF-8 of a text, cut to a number of bytes, but not within a character. */
export function cutText(text: string, bytesMax: number): Buffer {
  const bytes = Buffer.from(text.length > bytesMax ? text.slice(0, bytesMax) : text);
  if (bytes.length <= bytesMax) return bytes;
  let end = bytesMax;
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return bytes.subarray(0, end);
}
