/** The protocol of NATS by hand, for ends that must not be the bottleneck of what they measure. */
import type { Socket } from "node:net";
import { type ConnectionOptions, connect, type NatsConnection } from "@nats-io/transport-node";

const newline = 10;
const space = 32;
const digitZero = 48;

/** Gets each message: the chunk that holds it, and where in it the subject, the reply subject and the payload are. */
export interface MessageHandler {
  message(
    chunk: Buffer,
    at: {
      subjectStart: number;
      subjectEnd: number;
      replyStart: number;
      replyEnd: number;
      payloadStart: number;
      payloadEnd: number;
      hasHeaders: boolean;
    },
  ): void;
  /** All messages of what had arrived were handed out. */
  batchEnd(): void;
}

/** A connection whose handshake nats.js has made and whose bytes are read here. */
export class WireConnection {
  readonly #connection: NatsConnection;
  readonly #socket: Socket;
  readonly #handler: MessageHandler;
  readonly #place = {
    subjectStart: 0,
    subjectEnd: 0,
    replyStart: 0,
    replyEnd: 0,
    payloadStart: 0,
    payloadEnd: 0,
    hasHeaders: false,
  };
  #rest: Buffer = Buffer.alloc(0);
  #out = Buffer.allocUnsafe(65_536);
  #used = 0;

  private constructor(connection: NatsConnection, handler: MessageHandler) {
    this.#connection = connection;
    this.#handler = handler;
    const { protocol } = connection as unknown as { protocol: { transport: { socket: Socket } } };
    this.#socket = protocol.transport.socket;
    this.#socket.removeAllListeners("data");
    this.#socket.on("data", (chunk: Buffer) => this.#read(chunk));
  }

  static async open(options: ConnectionOptions, handler: MessageHandler): Promise<WireConnection> {
    // The client library must not send anything by itself meanwhile.
    const quiet = { pingInterval: 2 ** 30, reconnect: false };
    return new WireConnection(await connect({ ...options, ...quiet }), handler);
  }

  /** Room for so many bytes in the outgoing chunk. @returns where to write. */
  room(bytes: number): number {
    if (this.#used + bytes > this.#out.length) this.flush();
    const at = this.#used;
    this.#used += bytes;
    return at;
  }

  get out(): Buffer {
    return this.#out;
  }

  flush(): void {
    if (this.#used === 0) return;
    this.#socket.write(this.#out.subarray(0, this.#used));
    this.#out = Buffer.allocUnsafe(Math.max(65_536, this.#out.length));
    this.#used = 0;
  }

  write(text: string): void {
    this.flush();
    this.#socket.write(text);
  }

  async close(): Promise<void> {
    this.#socket.destroy();
    await this.#connection.close().catch(() => undefined);
  }

  #read(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    for (;;) {
      const end = bytes.indexOf(newline, at);
      if (end < 0) break;
      const next = this.#line(bytes, at, end);
      if (next < 0) break;
      at = next;
    }
    this.#rest = at === bytes.length ? Buffer.alloc(0) : Buffer.from(bytes.subarray(at));
    this.#handler.batchEnd();
    this.flush();
  }

  /** @returns where the next line begins, -1 when the message is not whole yet. */
  #line(bytes: Buffer, start: number, newlineAt: number): number {
    const hasHeaders = bytes[start] === 0x48;
    if (!hasHeaders && bytes[start] !== 0x4d) {
      if (bytes[start] === 0x50 && bytes[start + 1] === 0x49) this.#socket.write("PONG\r\n");
      return newlineAt + 1;
    }
    const place = this.#place;
    let at = start + (hasHeaders ? 5 : 4);
    place.subjectStart = at;
    while (bytes[at] !== space) at++;
    place.subjectEnd = at;
    // The rest: sid, perhaps the reply subject, sizes.
    const lineEnd = newlineAt - 1;
    let sizeStart = lineEnd;
    while (bytes[sizeStart - 1] !== space) sizeStart--;
    let size = 0;
    for (let digit = sizeStart; digit < lineEnd; digit++)
      size = size * 10 + (bytes[digit] as number) - digitZero;
    let sidEnd = at + 1;
    while (bytes[sidEnd] !== space) sidEnd++;
    let replyEnd = sizeStart - 1;
    if (hasHeaders) {
      while (bytes[replyEnd - 1] !== space) replyEnd--;
      replyEnd--;
    }
    place.replyStart = Math.min(sidEnd + 1, replyEnd);
    place.replyEnd = Math.max(replyEnd, place.replyStart);
    place.payloadStart = newlineAt + 1;
    place.payloadEnd = place.payloadStart + size;
    place.hasHeaders = hasHeaders;
    if (place.payloadEnd + 2 > bytes.length) return -1;
    this.#handler.message(bytes, place);
    return place.payloadEnd + 2;
  }
}
