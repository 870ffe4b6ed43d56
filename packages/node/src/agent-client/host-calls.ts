/** The node's end of the calls of host services: blocking ones on the second channel, others as frames. */
import type { Duplex } from "node:stream";
import {
  decodeHostCall,
  encodeHostReply,
  errorText,
  type FrameConnection,
  FrameType,
  type HostReply,
  hostCallBytesMax,
  hostCallHeaderBytes,
  NexError,
  PayloadAssembler,
} from "@nexengine/protocol/internal";

/** Calls that do not block, of one agent, at once. */
const openCallsMax = 256;
/** Calls that are still arriving, all together. */
const unfinishedBytesMax = 2 * hostCallBytesMax;

/** Answers a call; the arguments stay as they are. Never rejects. */
export type HostCallHandler = (method: number, args: Buffer[]) => Promise<HostReply>;

export class HostCalls {
  readonly #connection: FrameConnection;
  readonly #calls: Duplex | undefined;
  readonly #unfinished = new PayloadAssembler(unfinishedBytesMax);
  readonly #open = new Set<number>();
  #handler: HostCallHandler | undefined;
  /** Of the blocking call that has not been answered. */
  #blocking: number | undefined;
  /** A blocking call that is still arriving, and how long it will be; 0 while that is not known. */
  #chunks: Buffer[] = [];
  #bytes = 0;
  #expected = 0;

  /**
   * @param calls The channel of blocking calls; it is this one's to read and to write.
   * @param broken Called when the agent breaks the protocol there.
   */
  constructor(connection: FrameConnection, calls: Duplex | undefined, broken: (error: NexError) => void) {
    this.#connection = connection;
    this.#calls = calls;
    calls?.on("error", () => undefined);
    calls?.on("data", (chunk: Buffer) => {
      try {
        this.#read(chunk);
      } catch (error) {
        calls.destroy();
        broken(error instanceof NexError ? error : new NexError("agent_protocol", errorText(error)));
      }
    });
  }

  /** Answers calls from now on. Before that, an agent that calls breaks the protocol. */
  serve(handler: HostCallHandler): void {
    this.#handler = handler;
  }

  /** Is an agent's code stopped in a call? */
  get isBlocking(): boolean {
    return this.#blocking !== undefined;
  }

  /** Answers the blocking call, if there is one, with an error; its own answer is dropped when it comes. */
  abort(code: number, text: string): void {
    if (this.#blocking !== undefined) this.#answerBlocking(this.#blocking, { kind: "error", code, text });
  }

  /** Takes a frame of a call that does not block. */
  take(flags: number, id: number, payload: Buffer): void {
    const whole = this.#unfinished.add(flags, id, payload);
    if (whole === undefined) return;
    const { method, args } = decodeHostCall(whole);
    const handler = this.#demand();
    if (this.#open.has(id) || this.#open.size >= openCallsMax)
      throw new NexError(
        "agent_protocol",
        `Cannot take a call of a host service: ${this.#open.size} are open`,
      );
    this.#open.add(id);
    void handler(method, args).then((reply) => {
      this.#open.delete(id);
      this.#connection.sendLong(FrameType.hostReply, 0, id, encodeHostReply(reply));
    });
  }

  #demand(): HostCallHandler {
    if (this.#handler !== undefined) return this.#handler;
    throw new NexError("agent_protocol", "Cannot take a call of a host service: no function runs");
  }

  #read(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    if (this.#expected === 0) {
      if (this.#bytes < hostCallHeaderBytes) return;
      this.#chunks = [Buffer.concat(this.#chunks)];
      const length = (this.#chunks[0] as Buffer).readUInt32LE(0);
      if (length < 6 || length > hostCallBytesMax + 4)
        throw new NexError(
          "agent_protocol",
          `Cannot read a call of a host service: ${length} bytes are out of bounds`,
        );
      this.#expected = length + 4;
    }
    if (this.#bytes < this.#expected) return;
    const bytes = Buffer.concat(this.#chunks);
    const expected = this.#expected;
    this.#chunks = [];
    this.#bytes = 0;
    this.#expected = 0;
    // Its code waits for the answer, so it can't say more.
    if (bytes.length > expected || this.#blocking !== undefined)
      throw new NexError("agent_protocol", "Cannot read a call of a host service: one is open already");
    const id = bytes.readUInt32LE(4);
    const { method, args } = decodeHostCall(bytes.subarray(hostCallHeaderBytes));
    const handler = this.#demand();
    this.#blocking = id;
    void handler(method, args).then((reply) => {
      if (this.#blocking === id) this.#answerBlocking(id, reply);
    });
  }

  #answerBlocking(id: number, reply: HostReply): void {
    this.#blocking = undefined;
    const body = encodeHostReply(reply);
    const header = Buffer.allocUnsafe(hostCallHeaderBytes);
    header.writeUInt32LE(body.length + 4, 0);
    header.writeUInt32LE(id, 4);
    if (this.#calls === undefined || this.#calls.destroyed) return;
    this.#calls.write(Buffer.concat([header, body]));
  }
}
