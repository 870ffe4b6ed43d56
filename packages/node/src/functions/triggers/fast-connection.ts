/**
 * A trigger connection with our own dispatch. nats.js connects, authenticates, encrypts, reconnects and subscribes. We cut
 * messages of triggers out of its socket's chunks before its parser sees them, and write replies to its socket. All other
 * bytes go to its parser unchanged.
 */
import type { Socket } from "node:net";
import type { NatsConnection } from "@nats-io/nats-core";
import { copyBytes } from "@nexengine/protocol/agent";
import { NexError } from "@nexengine/protocol/errors";
import type { Subscribed } from "../../connections/lasting-subscription.ts";
import {
  handOut,
  type MessageContent,
  type MessageTaker,
  NatsTriggerConnection,
  type ReplySubject,
  repliesUnsentBytesMax,
  type TriggerConnection,
  type TriggerMessage,
} from "./trigger-connection.ts";

/** Size of a chunk of replies. It is sent when it is full, or at the end of the turn. */
const chunkBytes = 65_536;
/** Longer replies are not copied into a chunk. */
const gatheredBytesMax = 16_384;
/** Maximum number of written chunks kept for reuse: fresh memory costs more than the copy. */
const spareChunksMax = 4;
/** Maximum size of a message and of a control line. Larger announcements are treated as corruption. */
const messageBytesMax = 64 * 1024 * 1024;
const controlLineBytesMax = 1024 * 1024;
/** Room for the words and numbers of a PUB line. */
const lineBytesMax = 48;

const newline = 10;
const space = 32;
const zero = 48;
const letterH = 72;
const letterM = 77;

/** The parser of nats.js. Its state is 0 between two messages. */
interface Parser {
  state: number;
  parse(chunk: Uint8Array): void;
}

/** The part of the protocol handler of nats.js that this file uses. */
interface Protocol {
  parser: Parser;
  connected: boolean;
  transport: { socket?: Socket };
}

const noBytes = Buffer.alloc(0);
const lineEnd = Buffer.from("\r\n");

/**
 * Our own dispatch on a connection of nats.js.
 *
 * @returns `undefined` when the library's internals are different.
 */
export function fastTriggerConnection(connection: NatsConnection): TriggerConnection | undefined {
  const { protocol } = connection as unknown as { protocol?: Partial<Protocol> };
  const usable =
    typeof protocol?.parser?.parse === "function" &&
    typeof protocol.parser.state === "number" &&
    protocol.transport?.socket !== undefined &&
    typeof protocol.connected === "boolean";
  return usable ? new FastTriggerConnection(connection, protocol as Protocol) : undefined;
}

class FastTriggerConnection extends NatsTriggerConnection implements TriggerConnection {
  readonly #connection: NatsConnection;
  readonly #protocol: Protocol;
  readonly #subscriptions = new Map<number, MessageTaker>();
  #parser: Parser;
  /** Whether the parser of nats.js is between two messages, so that we can cut. It stays true. */
  #isCutting: boolean;
  /** An incomplete message, or its first line. */
  #partial: Buffer = noBytes;
  /** The view for takers. One object for all messages, because a fresh one for each costs throughput. */
  readonly #message: TriggerMessage = {
    bytes: noBytes,
    subjectStart: 0,
    subjectEnd: 0,
    replyStart: 0,
    replyEnd: 0,
    headersStart: 0,
    payloadStart: 0,
    payloadEnd: 0,
  };
  /** Bytes of `#partial` that have arrived, if its size is known; else -1. */
  #filled = -1;
  #chunk: Buffer = Buffer.allocUnsafeSlow(chunkBytes);
  readonly #spare: Buffer[] = [];
  #used = 0;
  #scheduled = false;
  readonly #flush = (): void => this.#send();

  constructor(connection: NatsConnection, protocol: Protocol) {
    super(connection);
    this.#connection = connection;
    this.#protocol = protocol;
    this.#parser = protocol.parser;
    this.#isCutting = this.#parser.state === 0;
    const own = { parse: (chunk: Uint8Array) => this.#read(chunk as Buffer) };
    // nats.js makes a new parser for each connection.
    Object.defineProperty(protocol, "parser", {
      get: () => own,
      set: (parser: Parser) => {
        this.#parser = parser;
        this.#isCutting = true;
        this.#partial = noBytes;
        this.#filled = -1;
        this.#used = 0;
      },
      configurable: true,
      enumerable: true,
    });
  }

  subscribe(subject: string, queue: string | undefined, take: MessageTaker): Subscribed {
    const subscription = this.#connection.subscribe(subject, {
      ...(queue === undefined ? {} : { queue }),
      // Messages that nats.js parsed before we could cut.
      callback: (error, message) => {
        if (error === null) handOut(message, take);
      },
    });
    const { sid } = subscription as unknown as { sid: number };
    this.#subscriptions.set(sid, take);
    return {
      drain: async () => {
        try {
          await subscription.drain();
        } finally {
          this.#subscriptions.delete(sid);
        }
      },
      drop: () => {
        subscription.unsubscribe();
        this.#subscriptions.delete(sid);
      },
    };
  }

  #read(chunk: Buffer): void {
    if (!this.#isCutting) {
      this.#parser.parse(chunk);
      this.#isCutting = this.#parser.state === 0;
      return;
    }
    if (this.#filled >= 0) {
      const missing = this.#partial.length - this.#filled;
      const given = Math.min(missing, chunk.length);
      this.#partial.set(given === chunk.length ? chunk : chunk.subarray(0, given), this.#filled);
      this.#filled += given;
      if (given < missing) return;
      const whole = this.#partial;
      this.#partial = noBytes;
      this.#filled = -1;
      this.#cut(whole);
      if (given < chunk.length) this.#cut(chunk.subarray(given));
      return;
    }
    if (this.#partial.length === 0) {
      this.#cut(chunk);
      return;
    }
    const bytes = Buffer.concat([this.#partial, chunk]);
    this.#partial = noBytes;
    this.#cut(bytes);
  }

  /** Cuts bytes, starting with a line, into messages and lines. */
  #cut(bytes: Buffer): void {
    let at = 0;
    // Start of the bytes for nats.js.
    let others = 0;
    while (at < bytes.length) {
      const lineEnd = bytes.indexOf(newline, at);
      if (lineEnd < 0) break;
      const first = bytes[at];
      const hasHeaders = first === letterH;
      if (first !== letterM && !hasHeaders) {
        at = lineEnd + 1;
        continue;
      }
      // MSG <subject> <sid> [reply] <size>\r\n, and with headers HMSG … <header size> <size>\r\n
      const subjectStart = at + (hasHeaders ? 5 : 4);
      let subjectEnd = subjectStart;
      while (bytes[subjectEnd] !== space && subjectEnd < lineEnd) subjectEnd++;
      let sid = 0;
      let sidEnd = subjectEnd + 1;
      for (
        let byte = bytes[sidEnd] as number;
        byte !== space && sidEnd < lineEnd;
        byte = bytes[++sidEnd] as number
      )
        sid = sid * 10 + byte - zero;
      let sizeStart = lineEnd - 1;
      while (bytes[sizeStart - 1] !== space && sizeStart > sidEnd) sizeStart--;
      const size = numberIn(bytes, sizeStart, lineEnd - 1);
      if (!(size >= 0 && size <= messageBytesMax)) {
        this.#break(`it announces a message of ${size} bytes`);
        return;
      }
      const payloadEnd = lineEnd + 1 + size;
      const next = payloadEnd + 2;
      if (next > bytes.length) {
        if (at > others) this.#parser.parse(bytes.subarray(others, at));
        this.#wait(bytes, at, next - at);
        return;
      }
      const take = this.#subscriptions.get(sid);
      if (take !== undefined) {
        if (at > others) this.#parser.parse(bytes.subarray(others, at));
        others = next;
        let replyEnd = sizeStart - 1;
        let headerBytes = 0;
        if (hasHeaders) {
          let headersAt = replyEnd;
          while (bytes[headersAt - 1] !== space) headersAt--;
          headerBytes = numberIn(bytes, headersAt, replyEnd);
          replyEnd = headersAt - 1;
          if (!(headerBytes <= size)) {
            this.#break(`it announces ${headerBytes} bytes of headers in ${size}`);
            return;
          }
        }
        const message = this.#message;
        message.bytes = bytes;
        message.subjectStart = subjectStart;
        message.subjectEnd = subjectEnd;
        message.replyStart = Math.min(sidEnd + 1, replyEnd);
        message.replyEnd = replyEnd;
        message.headersStart = lineEnd + 1;
        message.payloadStart = lineEnd + 1 + headerBytes;
        message.payloadEnd = payloadEnd;
        take(message);
      }
      at = next;
    }
    if (at > others) this.#parser.parse(bytes.subarray(others, at));
    if (bytes.length - at > controlLineBytesMax) this.#break("its line does not end");
    else if (at < bytes.length) this.#partial = Buffer.from(bytes.subarray(at));
  }

  /** Closes the connection. nats.js reconnects. */
  #break(why: string): void {
    this.#protocol.transport.socket?.destroy(
      new NexError("connection_failed", `Cannot read what the NATS server sends: ${why}`),
    );
  }

  /** Keeps the start of a message until the rest arrives. */
  #wait(bytes: Buffer, at: number, size: number): void {
    const whole = Buffer.allocUnsafeSlow(size);
    bytes.copy(whole, 0, at);
    this.#partial = whole;
    this.#filled = bytes.length - at;
  }

  publish(subject: ReplySubject, content: MessageContent): boolean {
    const { replyStart, replyEnd } = subject;
    const { bytes, headersStart, payloadStart, payloadEnd } = content;
    const { connected, transport } = this.#protocol;
    const { socket } = transport;
    // As with nats.js, replies without a server are lost.
    if (!connected || socket === undefined) return false;
    const size = payloadEnd - headersStart;
    const gathered = size <= gatheredBytesMax;
    const room = lineBytesMax + replyEnd - replyStart + (gathered ? size : 0);
    if (this.#used + room > chunkBytes) {
      this.#send();
      if (socket.writableLength > repliesUnsentBytesMax) return false;
    }
    const to = this.#chunk;
    const hasHeaders = payloadStart > headersStart;
    let at = this.#used;
    if (hasHeaders) to[at++] = letterH;
    to[at++] = 80;
    to[at++] = 85;
    to[at++] = 66;
    to[at++] = space;
    copyBytes(subject.bytes, replyStart, replyEnd, to, at);
    at += replyEnd - replyStart;
    to[at++] = space;
    if (hasHeaders) {
      at = writeNumber(to, at, payloadStart - headersStart);
      to[at++] = space;
    }
    at = writeNumber(to, at, size);
    to[at++] = 13;
    to[at++] = newline;
    if (!gathered) {
      this.#used = at;
      socket.cork();
      this.#send();
      socket.write(bytes.subarray(headersStart, payloadEnd));
      socket.write(lineEnd);
      socket.uncork();
      return true;
    }
    copyBytes(bytes, headersStart, payloadEnd, to, at);
    at += size;
    to[at++] = 13;
    to[at++] = newline;
    this.#used = at;
    this.#schedule();
    return true;
  }

  request(subject: string, answerTo: string, payload: string): boolean {
    const { connected, transport } = this.#protocol;
    if (!connected || transport.socket === undefined) return false;
    const line = `PUB ${subject} ${answerTo} ${Buffer.byteLength(payload)}\r\n${payload}\r\n`;
    const bytes = Buffer.byteLength(line);
    if (bytes > chunkBytes) throw new NexError("internal", `Cannot send a request of ${bytes} bytes`);
    if (this.#used + bytes > chunkBytes) {
      this.#send();
      if (transport.socket.writableLength > repliesUnsentBytesMax) return false;
    }
    this.#used += this.#chunk.write(line, this.#used);
    this.#schedule();
    return true;
  }

  ask(subject: string, answerTo: string, content: MessageContent): boolean {
    // On the line of a message, the subject for answers stands after its subject.
    const bytes = Buffer.from(`${subject} ${answerTo}`);
    return this.publish({ bytes, replyStart: 0, replyEnd: bytes.length }, content);
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#flush);
  }

  #send(): void {
    this.#scheduled = false;
    const { connected, transport } = this.#protocol;
    if (this.#used === 0 || !connected || transport.socket === undefined) return;
    const chunk = this.#chunk;
    // The socket keeps the bytes until they are written.
    transport.socket.write(chunk.subarray(0, this.#used), () => {
      if (this.#spare.length < spareChunksMax) this.#spare.push(chunk);
    });
    this.#chunk = this.#spare.pop() ?? Buffer.allocUnsafeSlow(chunkBytes);
    this.#used = 0;
  }
}

/** @returns NaN when it is not a number. */
function numberIn(bytes: Buffer, start: number, end: number): number {
  let value = start < end ? 0 : Number.NaN;
  for (let at = start; at < end; at++) {
    const digit = (bytes[at] as number) - zero;
    if (digit < 0 || digit > 9) return Number.NaN;
    value = value * 10 + digit;
  }
  return value;
}

function writeNumber(to: Buffer, at: number, value: number): number {
  let digits = 1;
  for (let rest = value; rest >= 10; rest = Math.floor(rest / 10)) digits++;
  let rest = value;
  for (let place = at + digits - 1; place >= at; place--) {
    to[place] = zero + (rest % 10);
    rest = Math.floor(rest / 10);
  }
  return at + digits;
}
