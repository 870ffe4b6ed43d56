/** The node's end of the calls of host services: blocking ones on the second channel, others as frames. */
import type { Duplex } from "node:stream";
import {
  CallError,
  decodeHostCall,
  encodeHostReply,
  errorText,
  type FrameConnection,
  FrameFlag,
  FrameType,
  type HostReply,
  hostCallBytesMax,
  hostCallHeaderBytes,
  NexError,
  PayloadAssembler,
} from "@nexengine/protocol/internal";
import type { Share } from "../budget/quota.ts";

/** Calls that do not block, of one agent, at once. */
const openCallsMax = 256;
/** Calls that are still arriving, all together. */
const unfinishedBytesMax = 2 * hostCallBytesMax;
/** An agent that has not taken this much gets errors instead of further answers. */
const answersPendingBytesMax = 4 * hostCallBytesMax;

const tooMuchHeld: HostReply = {
  kind: "error",
  code: CallError.overloaded,
  text: "the node holds too many bytes of this machine's calls; wait for answers before you send more",
};
const answersWait: HostReply = {
  kind: "error",
  code: CallError.overloaded,
  text: "the machine has not taken its earlier answers; wait for them before you ask for more",
};

/** Answers a call; the arguments stay as they are. Never rejects. */
export type HostCallHandler = (method: number, args: Buffer[]) => Promise<HostReply>;

export class HostCalls {
  readonly #connection: FrameConnection;
  readonly #calls: Duplex | undefined;
  readonly #unfinished = new PayloadAssembler(unfinishedBytesMax);
  readonly #held: Share;
  readonly #open = new Set<number>();
  /** A call that is over the budget and still arriving: the rest of it is thrown away, and it is answered then. */
  #refused: number | undefined;
  #handler: HostCallHandler | undefined;
  /** Of the blocking call that has not been answered. */
  #blocking: number | undefined;
  /** A blocking call that is still arriving, and how long it will be; 0 while that is not known. */
  #chunks: Buffer[] = [];
  #bytes = 0;
  #expected = 0;
  /** Bytes of it that are counted; the rest of one that is over the budget is thrown away. */
  #heldBytes = 0;
  #isOverBudget = false;

  /**
   * @param calls The channel of blocking calls; it is this one's to read and to write.
   * @param held Counts the bytes of calls, from their arrival to their answer.
   * @param broken Called when the agent breaks the protocol there.
   */
  constructor(
    connection: FrameConnection,
    calls: Duplex | undefined,
    held: Share,
    broken: (error: NexError) => void,
  ) {
    this.#connection = connection;
    this.#held = held;
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
    if (!this.#hold(flags, id, payload.length)) return;
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
      this.#held.give(whole.length);
      this.#reply(id, encodeHostReply(reply));
    });
  }

  /** Counts a part of a call. @returns whether it is to be kept; the call of one that is not gets an error. */
  #hold(flags: number, id: number, bytes: number): boolean {
    const more = (flags & FrameFlag.more) !== 0;
    if (this.#refused !== id) {
      if (this.#held.take(bytes)) return true;
      this.#held.give(this.#unfinished.drop(id));
      this.#refused = id;
    }
    if (!more) {
      this.#refused = undefined;
      this.#reply(id, encodeHostReply(tooMuchHeld));
    }
    return false;
  }

  #reply(id: number, body: Buffer): void {
    const pending = this.#connection.pendingBytes + body.length;
    const fits = pending <= answersPendingBytesMax && this.#held.fits(body.length);
    this.#connection.sendLong(FrameType.hostReply, 0, id, fits ? body : encodeHostReply(answersWait));
  }

  #demand(): HostCallHandler {
    if (this.#handler !== undefined) return this.#handler;
    throw new NexError("agent_protocol", "Cannot take a call of a host service: no function runs");
  }

  #read(chunk: Buffer): void {
    this.#keep(chunk);
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
    if (this.#bytes >= this.#expected) this.#takeBlocking();
  }

  /** Keeps a part of a blocking call. Its first bytes say whose answer is waited for, so they are kept in any case. */
  #keep(chunk: Buffer): void {
    const isFirst = this.#bytes < hostCallHeaderBytes;
    if (!isFirst && (this.#isOverBudget || !this.#held.take(chunk.length))) {
      this.#isOverBudget = true;
      return;
    }
    if (!isFirst) this.#heldBytes += chunk.length;
    this.#chunks.push(chunk);
  }

  #takeBlocking(): void {
    const bytes = Buffer.concat(this.#chunks);
    const [expected, arrived, held, isOverBudget] = [
      this.#expected,
      this.#bytes,
      this.#heldBytes,
      this.#isOverBudget,
    ];
    this.#chunks = [];
    this.#bytes = 0;
    this.#expected = 0;
    this.#heldBytes = 0;
    this.#isOverBudget = false;
    // Its code waits for the answer, so it can't say more.
    if (arrived > expected || this.#blocking !== undefined)
      throw new NexError("agent_protocol", "Cannot read a call of a host service: one is open already");
    const id = bytes.readUInt32LE(4);
    const handler = this.#demand();
    this.#blocking = id;
    if (isOverBudget) {
      this.#held.give(held);
      this.#answerBlocking(id, tooMuchHeld);
      return;
    }
    const { method, args } = decodeHostCall(bytes.subarray(hostCallHeaderBytes));
    void handler(method, args).then((reply) => {
      this.#held.give(held);
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
