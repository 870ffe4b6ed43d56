/**
 * Calls of host services, from an agent to its node. All numbers are little-endian.
 *
 * A call is a u8 method, a u8 count of arguments, and for each argument a u32 length and its bytes.
 *
 * A reply is a u8 kind and its content: nothing, bytes, JSON, a list (a u32 length and bytes for each item), or an
 * error (a u16 code and a text).
 *
 * Frames carry the id of the call. On the channel of blocking calls, a u32 length and a u32 id precede each message;
 * the length covers everything after itself.
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

const HostReplyKind = { nothing: 0, bytes: 1, json: 2, list: 3, error: 4 } as const;

/** Maximum size of a call or a reply. */
export const hostCallBytesMax = 8 * 1024 * 1024;
/** Header size on the channel of blocking calls. */
export const hostCallHeaderBytes = 8;
const argumentsMax = 8;
const errorTextBytesMax = 2_048;

/** Error codes, with the meanings of HTTP. */
export type HostErrorCode = 400 | 403 | 404 | 408 | 413 | 429 | 500 | 503;

/** Reply of a host service. */
export type HostReply =
  | { kind: "nothing" }
  | { kind: "bytes"; bytes: Uint8Array }
  | { kind: "json"; value: unknown }
  | { kind: "list"; items: readonly Uint8Array[] }
  | { kind: "error"; code: number; text: string };

/** @throws NexError `usage` if the call is too large */
export function encodeHostCall(method: number, args: readonly Uint8Array[]): Buffer {
  const bytes = Buffer.concat([Buffer.from([method, args.length]), ...args.flatMap(counted)]);
  if (bytes.length > hostCallBytesMax) {
    throw new NexError("usage", `a call of a host service must not exceed ${hostCallBytesMax} bytes`);
  }
  return bytes;
}

/** @throws NexError `agent_protocol` if the call is malformed */
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
  const text = `the reply has ${bytes.length} bytes, a function accepts at most ${hostCallBytesMax}`;
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

/** @throws NexError `agent_protocol` if the reply is malformed */
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

/** @returns the items, or `undefined` if the bytes are malformed or don't hold exactly `count` items. */
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
  return new NexError("agent_protocol", `Cannot read a ${what} of a host service: it is malformed`);
}
