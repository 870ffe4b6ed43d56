/** Calls of the node's host services: blocking ones on the second channel, others as frames. */
import {
  decodeHostReply,
  encodeHostCall,
  type FrameConnection,
  FrameType,
  type HostReply,
  hostCallBytesMax,
  hostCallHeaderBytes,
  PayloadAssembler,
} from "@nexengine/protocol/agent";
import { errorText, NexError } from "@nexengine/protocol/errors";
import type { CallChannel, OpenCalls } from "./channels/call-channel.ts";

/** Calls that do not block, at once; the node takes no more. */
const openCallsMax = 256;
/** While the node has not taken this much, further calls wait: it would break the channel off otherwise. */
const pendingBytesMax = 16 * 1024 * 1024;
/** An answer up to this size is read at once. */
const chunkBytes = 4_096;

const notThere = (text: string): HostReply => ({ kind: "error", code: 503, text });

export class HostCalls {
  readonly #open: OpenCalls;
  #line: CallChannel | undefined;
  #connection: FrameConnection | undefined;
  readonly #waiting = new Map<number, (reply: HostReply) => void>();
  /** Calls that wait until the node has taken what was sent. */
  readonly #unsent: { id: number; body: Buffer }[] = [];
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
    this.#unsent.length = 0;
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
  #read(line: CallChannel, id: number): Buffer {
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
    this.#unsent.push({ id, body });
    this.drained();
    return new Promise((resolve) => this.#waiting.set(id, resolve));
  }

  /** The node has taken something: sends calls that wait for that. */
  drained(): void {
    while (this.#connection !== undefined && this.#connection.pendingBytes < pendingBytesMax) {
      const next = this.#unsent.shift();
      if (next === undefined) return;
      this.#connection.sendLong(FrameType.hostCall, 0, next.id, next.body);
    }
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
