/**
 * Calls of host services, from an agent to its node. All numbers are little-endian.
 *
 * A call is u8 method, u8 count of arguments, and for each argument u32 length and its bytes. A reply is u8 kind and what
 * the kind says: nothing, bytes, JSON, a list (for each u32 length and its bytes), or an error (u16 code and a text).
 * As frames they have the call's id. On the channel of blocking calls each has u32 length and u32 id in front, where the
 * length is of all that follows it.
 */
import { NexError } from "../errors.ts";
import { cutText } from "./invocation.ts";

export const HostMethod = {
  kvGet: 1,
  kvSet: 2,
  kvDelete: 3,
  kvKeys: 4,
  objectGet: 16,
  objectPut: 17,
  objectDelete: 18,
  objectList: 19,
  publish: 32,
  request: 33,
  requestMany: 34,
  http: 48,
} as const;
export type HostMethod = (typeof HostMethod)[keyof typeof HostMethod];

export const HostReplyKind = { nothing: 0, bytes: 1, json: 2, list: 3, error: 4 } as const;

/** A call or a reply, whole. */
export const hostCallBytesMax = 8 * 1024 * 1024;
/** What stands in front on the channel of blocking calls. */
export const hostCallHeaderBytes = 8;
const argumentsMax = 8;
const errorTextBytesMax = 2_048;

/** The codes of errors, as HTTP has them. */
export type HostErrorCode = 400 | 403 | 404 | 408 | 413 | 429 | 500 | 503;

/** What a host service answers. */
export type HostReply =
  | { kind: "nothing" }
  | { kind: "bytes"; bytes: Uint8Array }
  | { kind: "json"; value: unknown }
  | { kind: "list"; items: readonly Uint8Array[] }
  | { kind: "error"; code: number; text: string };

/** @throws NexError `usage` when it is larger than a call may be */
export function encodeHostCall(method: number, args: readonly Uint8Array[]): Buffer {
  const bytes = Buffer.concat([Buffer.from([method, args.length]), ...args.flatMap(counted)]);
  if (bytes.length > hostCallBytesMax) {
    throw new NexError("usage", `a call of a host service has at most ${hostCallBytesMax} bytes`);
  }
  return bytes;
}

/** @throws NexError `agent_protocol` when it is not well-formed */
export function decodeHostCall(bytes: Buffer): { method: number; args: Buffer[] } {
  const [method, count] = bytes;
  if (method === undefined || count === undefined || count > argumentsMax) throw malformed("call");
  const args = decodeList(bytes, 2, count);
  if (args === undefined) throw malformed("call");
  return { method, args };
}

export function encodeHostReply(reply: HostReply): Buffer {
  const bytes = encodeReply(reply);
  if (bytes.length <= hostCallBytesMax) return bytes;
  const text = `the answer has ${bytes.length} bytes, a function takes ${hostCallBytesMax}`;
  return encodeReply({ kind: "error", code: 413, text });
}

function encodeReply(reply: HostReply): Buffer {
  switch (reply.kind) {
    case "nothing":
      return Buffer.from([HostReplyKind.nothing]);
    case "bytes":
      return Buffer.concat([Buffer.from([HostReplyKind.bytes]), reply.bytes]);
    case "json":
      return Buffer.concat([Buffer.from([HostReplyKind.json]), Buffer.from(JSON.stringify(reply.value))]);
    case "list":
      return Buffer.concat([Buffer.from([HostReplyKind.list]), ...reply.items.flatMap(counted)]);
    case "error":
      return Buffer.concat([
        Buffer.from([HostReplyKind.error, reply.code, reply.code >>> 8]),
        cutText(reply.text, errorTextBytesMax),
      ]);
  }
}

/** @throws NexError `agent_protocol` when it is not well-formed */
export function decodeHostReply(bytes: Buffer): HostReply {
  switch (bytes[0]) {
    case HostReplyKind.nothing:
      return { kind: "nothing" };
    case HostReplyKind.bytes:
      return { kind: "bytes", bytes: bytes.subarray(1) };
    case HostReplyKind.json:
      try {
        return { kind: "json", value: JSON.parse(bytes.toString("utf8", 1)) };
      } catch {
        throw malformed("reply");
      }
    case HostReplyKind.list: {
      const items = decodeList(bytes, 1);
      if (items !== undefined) return { kind: "list", items };
      break;
    }
    case HostReplyKind.error:
      if (bytes.length >= 3)
        return { kind: "error", code: bytes.readUInt16LE(1), text: bytes.toString("utf8", 3) };
      break;
  }
  throw malformed("reply");
}

function counted(bytes: Uint8Array): Uint8Array[] {
  const length = Buffer.allocUnsafe(4);
  length.writeUInt32LE(bytes.length);
  return [length, bytes];
}

/** @returns `undefined` unless it is that many, or any number without `count`, and nothing more. */
function decodeList(bytes: Buffer, start: number, count?: number): Buffer[] | undefined {
  const items: Buffer[] = [];
  let at = start;
  while (at < bytes.length) {
    if (at + 4 > bytes.length) return undefined;
    const end = at + 4 + bytes.readUInt32LE(at);
    if (end > bytes.length || items.length === count) return undefined;
    items.push(bytes.subarray(at + 4, end));
    at = end;
  }
  return count === undefined || items.length === count ? items : undefined;
}

function malformed(what: string): NexError {
  return new NexError("agent_protocol", `Cannot read a ${what} of a host service: it is not well-formed`);
}
