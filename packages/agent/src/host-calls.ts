/** Calls of the node's host services: blocking ones on the second channel, others as frames. */
import { closeSync, openSync, readSync, writeSync } from "node:fs";
import {
  decodeHostReply,
  encodeHostCall,
  errorText,
  type FrameConnection,
  FrameType,
  type HostReply,
  hostCallBytesMax,
  hostCallHeaderBytes,
  NexError,
  PayloadAssembler,
} from "@nexengine/protocol/internal";
import type { CallLine } from "./call-line.ts";
import { CallPort } from "./port-calls.ts";

/** Calls that do not block, at once; the node takes no more. */
const openCallsMax = 256;
/** An answer up to this size is read at once. */
const chunkBytes = 4_096;

/** Opens the channel of blocking calls of an epoch. */
export type OpenCalls = (epoch: number) => CallLine;

const inheritedFd = 4;

/**
 * How the channel of blocking calls is opened: with `fd` it was inherited, with `connect:<directory>` it is a pair of FIFOs
 * for each epoch, with `port:<directory>` a serial port.
 *
 * @param kind The value of `--channels`.
 */
export function callsOpener(kind: string): OpenCalls {
  const [, form, directory = ""] = /^(connect|port):(.+)$/.exec(kind) ?? [];
  if (form === "port") {
    let port: CallPort | undefined;
    return (epoch) => {
      port ??= new CallPort(directory);
      return port.open(epoch);
    };
  }
  if (form === undefined) return () => lineOf(inheritedFd, inheritedFd, () => undefined);
  return (epoch) => {
    const [request, reply] = [`${directory}/req.${epoch}`, `${directory}/rep.${epoch}`];
    // Both ends first: a FIFO whose node has just died would not open, for ever.
    const held = [openSync(request, "r+"), openSync(reply, "r+")];
    const replies = openSync(reply, "r");
    const requests = openSync(request, "w");
    for (const fd of held) closeSync(fd);
    return lineOf(requests, replies, () => {
      closeSync(requests);
      closeSync(replies);
    });
  };
}

function lineOf(requests: number, replies: number, close: () => void): CallLine {
  return {
    write: (bytes) => writeAll(requests, bytes),
    readSome: (to, at) => readSome(replies, to, at),
    close,
  };
}

const notThere = (text: string): HostReply => ({ kind: "error", code: 503, text });

export class HostCalls {
  readonly #open: OpenCalls;
  #line: CallLine | undefined;
  #connection: FrameConnection | undefined;
  readonly #waiting = new Map<number, (reply: HostReply) => void>();
  #replies = new PayloadAssembler(2 * hostCallBytesMax);
  #next = 1;
  readonly #chunk = Buffer.allocUnsafeSlow(chunkBytes);

  constructor(open: OpenCalls) {
    this.#open = open;
  }

  /** A node has attached. What was asked of the one before is not answered any more. */
  attach(connection: FrameConnection, epoch: number): void {
    this.detach();
    this.#connection = connection;
    this.#replies = new PayloadAssembler(2 * hostCallBytesMax);
    try {
      this.#line = this.#open(epoch);
    } catch {
      // Blocking calls fail, each with a word.
    }
  }

  /** The node has gone. */
  detach(): void {
    this.#line?.close();
    this.#line = undefined;
    this.#connection = undefined;
    for (const done of this.#waiting.values()) done(notThere("the node has gone (node_restarted)"));
    this.#waiting.clear();
  }

  /** Calls and waits, and nothing of the agent runs meanwhile; the node bounds how long. */
  block(method: number, args: readonly Uint8Array[]): HostReply {
    const line = this.#line;
    if (line === undefined) return notThere("there is no node (no_node)");
    let body: Buffer;
    try {
      body = encodeHostCall(method, args);
    } catch (error) {
      return { kind: "error", code: 413, text: errorText(error) };
    }
    const id = this.#next++ >>> 0;
    // Answers of calls that ran before must not wait for this one.
    this.#connection?.flush();
    try {
      const header = Buffer.allocUnsafe(hostCallHeaderBytes);
      header.writeUInt32LE(body.length + 4, 0);
      header.writeUInt32LE(id, 4);
      line.write(Buffer.concat([header, body]));
      return decodeHostReply(this.#read(line, id));
    } catch {
      line.close();
      this.#line = undefined;
      return notThere("the node has gone in the middle of the call (node_restarted)");
    }
  }

  /** The answer to a call, read at once with its header if it is short. The node sends one at a time. */
  #read(line: CallLine, id: number): Buffer {
    let read = 0;
    const chunk = this.#chunk;
    while (read < hostCallHeaderBytes) read += line.readSome(chunk, read);
    const end = chunk.readUInt32LE(0) + 4;
    if (chunk.readUInt32LE(4) !== id || end < read)
      throw new NexError("agent_protocol", "the answer is that of another call");
    const whole = Buffer.allocUnsafe(end);
    chunk.copy(whole, 0, 0, read);
    while (read < end) read += line.readSome(whole, read);
    return whole.subarray(hostCallHeaderBytes);
  }

  /** Calls; the answer comes later. Never rejects. */
  call(method: number, args: readonly Uint8Array[]): Promise<HostReply> {
    const connection = this.#connection;
    if (connection === undefined || connection.ended)
      return Promise.resolve(notThere("there is no node (no_node)"));
    if (this.#waiting.size >= openCallsMax) {
      const text = `${openCallsMax} calls of host services are open`;
      return Promise.resolve({ kind: "error", code: 429, text });
    }
    let body: Buffer;
    try {
      body = encodeHostCall(method, args);
    } catch (error) {
      return Promise.resolve({ kind: "error", code: 413, text: errorText(error) });
    }
    const id = this.#next++ >>> 0;
    connection.sendLong(FrameType.hostCall, 0, id, body);
    return new Promise((resolve) => this.#waiting.set(id, resolve));
  }

  /** Takes a frame that answers a call. */
  take(flags: number, id: number, payload: Buffer): void {
    const whole = this.#replies.add(flags, id, payload);
    if (whole === undefined) return;
    const done = this.#waiting.get(id);
    this.#waiting.delete(id);
    done?.(decodeHostReply(whole));
  }
}

function writeAll(fd: number, bytes: Buffer): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
}

/** @throws NexError at the end of the stream */
function readSome(fd: number, to: Buffer, at: number): number {
  const read = readSync(fd, to, at, to.length - at, null);
  if (read === 0) throw new NexError("agent_protocol", "the channel has ended");
  return read;
}
