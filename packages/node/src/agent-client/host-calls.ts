/** The node's end of host calls: blocking ones on the call channel, the others as frames. */
import type { Duplex } from "node:stream";
import {
  CallError,
  decodeHostCall,
  encodeHostReply,
  type FrameConnection,
  FrameFlag,
  FrameType,
  type HostReply,
  hostCallBytesMax,
  hostCallHeaderBytes,
  PayloadAssembler,
} from "@nexengine/protocol/agent";
import { errorText, NexError } from "@nexengine/protocol/errors";
import type { Share } from "../budget/quota.ts";

/** Maximum number of open non-blocking calls of one agent. */
const openCallsMax = 256;
/** Maximum size of all unfinished calls together. */
const unfinishedBytesMax = 2 * hostCallBytesMax;
/** Above this many pending bytes, an agent gets errors instead of answers. */
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

/** Answers a call. The arguments are not reused. Never rejects. */
export type HostCallHandler = (method: number, args: Buffer[]) => Promise<HostReply>;

export class HostCalls {
  readonly #connection: FrameConnection;
  readonly #calls: Duplex | undefined;
  readonly #unfinished = new PayloadAssembler(unfinishedBytesMax);
  readonly #held: Share;
  readonly #open = new Set<number>();
  /** Id of a call over the budget that is still arriving. Its rest is dropped, then it gets an error. */
  #refused: number | undefined;
  #handler: HostCallHandler | undefined;
  /** Id of the blocking call without an answer. */
  #blocking: number | undefined;
  /** Parts of an unfinished blocking call, and its size; 0 while not known. */
  #chunks: Buffer[] = [];
  #bytes = 0;
  #expected = 0;
  /** Its counted bytes. The rest of a call over the budget is dropped. */
  #heldBytes = 0;
  #isOverBudget = false;

  /**
   * @param calls The channel for blocking calls. This object reads and writes it.
   * @param held Share of the budget for the bytes of calls, from arrival to answer.
   * @param broken Called on a protocol violation there.
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

  /** Starts to answer calls. Before this, a call is a protocol violation. */
  serve(handler: HostCallHandler): void {
    this.#handler = handler;
  }

  /** Whether a blocking call is open. */
  get isBlocking(): boolean {
    return this.#blocking !== undefined;
  }

  /** Answers an open blocking call with an error. Its own answer is dropped later. */
  abort(code: number, text: string): void {
    if (this.#blocking !== undefined) this.#answerBlocking(this.#blocking, { kind: "error", code, text });
  }

  /** Takes a frame of a non-blocking call. */
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

  /** Counts a part of a call. @returns whether to keep it; a call that is not kept gets an error. */
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

  /** Keeps a part of a blocking call. The first bytes name the call, so they are always kept. */
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
    // The function waits for the answer, so it cannot send more.
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
