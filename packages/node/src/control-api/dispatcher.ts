/**
 * The dispatcher of the control API. A request becomes one action with one handler. The dispatcher answers exactly once and
 * logs once. No request gets past it as an exception.
 */

import { createHash } from "node:crypto";
import type { Msg, NatsConnection } from "@nats-io/nats-core";
import { NexError, toNexError } from "@nexengine/protocol/errors";
import { encodeFailure, encodeResponse, type ResponseKind } from "@nexengine/protocol/messages";
import { printable } from "@nexengine/protocol/subjects";
import type { Logger } from "pino";
import {
  LastingSubscription,
  type Subscribed,
  subscribingConnection,
} from "../connections/lasting-subscription.ts";

/** Maximum number of requests handled per turn: a signature check takes a good part of a millisecond. */
export const requestsPerTurnMax = 8;
/** Maximum time per turn, in ms: opening a large environment takes longer. Other work runs in between. */
export const turnMsMax = 5;
/** Maximum number of waiting requests. Further ones are refused. */
export const requestsWaitingMax = 10_000;
/** Maximum size of all waiting bodies together. */
export const waitingBytesMax = 16_777_216;
const msPerSecond = 1_000;
/** Maximum number of requests that are noted while another process takes over. */
const notedMax = 100_000;
/** Time within which the copy of a request can come that another process has answered. */
const lateCopyMsMax = 30_000;

/** One kind of request. */
export interface Action {
  /** The subject that a node subscribes to. */
  subject: string;
  /** Kind of the answer. */
  kind: ResponseKind;
  /** Whether failures are not answered. */
  silent?: boolean;
  /** Whether many nodes are asked at once. A node that is asked too often stays silent then. */
  isScattered?: boolean;
  /** Maximum size of a body. A larger one is refused unread. */
  bodyBytesMax: number;
  /**
   * Maximum number of requests per second, so that nobody can keep the thread busy with one kind of
   * request.
   */
  perSecondMax: number;
  /** Maximum time of the node's thread per second, in ms. It bounds slow requests, whatever their number. */
  threadMsPerSecondMax: number;
  /**
   * Handles the request.
   *
   * @returns the answer's data, or `undefined` for no answer.
   * @throws NexError for a failing answer.
   */
  handle(subject: string, body: Uint8Array): object | undefined | Promise<object | undefined>;
}

/** A request that waits for its handler. */
interface Waiting {
  action: Action;
  message: Msg;
  body: Uint8Array;
}

/** Requests of one kind in the current second. */
interface Taken {
  second: number;
  count: number;
  threadMs: number;
}

export class Dispatcher {
  readonly #connection: NatsConnection;
  readonly #log: Logger;
  readonly #subscriptions: LastingSubscription[] = [];
  readonly #running = new Set<Promise<void>>();
  #waiting: Waiting[] = [];
  /** Requests of actions that are held. They count as waiting. */
  #held: Waiting[] = [];
  #isHeld: (action: Action) => boolean = () => false;
  /** Keys of the requests that came since `noteRequests`. */
  #noted: Set<string> | undefined;
  /** Keys of requests that another process answers. */
  #answeredElsewhere: ReadonlySet<string> = new Set();
  #waitingBytes = 0;
  #scheduled = false;
  readonly #taken = new Map<Action, Taken>();
  #dropped = 0;

  constructor(connection: NatsConnection, log: Logger) {
    this.#connection = connection;
    this.#log = log;
  }

  /** Subscribes all actions. Returns once the server has the subscriptions. */
  async start(actions: readonly Action[]): Promise<void> {
    const connection = subscribingConnection(this.#connection);
    for (const action of actions) {
      const { subject } = action;
      const subscribe = (): Subscribed => {
        const subscription = this.#connection.subscribe(subject, {
          callback: (error, message) => {
            if (error === null) this.#receive(action, message);
          },
        });
        return { drain: () => subscription.drain(), drop: () => subscription.unsubscribe() };
      };
      const told = {
        refused: () =>
          this.#log.error({ subject }, "NATS does not permit the node to take requests; it is tried again"),
        back: () => this.#log.info({ subject }, "the node is permitted to take requests again"),
      };
      this.#subscriptions.push(new LastingSubscription(connection, subject, subscribe, told));
    }
    await connection.flush();
  }

  /** Notes the requests that come from now on: another process takes over, and may get them too. */
  noteRequests(): void {
    this.#noted = new Set();
  }

  /** Notes no more. @returns the keys of the noted requests */
  endNotes(): string[] {
    const noted = [...(this.#noted ?? [])];
    this.#noted = undefined;
    return noted;
  }

  /** Lets requests of some actions wait. Those that are no longer held get their turn. */
  hold(isHeld: (action: Action) => boolean): void {
    this.#isHeld = isHeld;
    const held = this.#held;
    this.#held = [];
    for (const waiting of held) (isHeld(waiting.action) ? this.#held : this.#waiting).push(waiting);
    if (this.#waiting.length > 0) this.#schedule();
  }

  /** Drops requests that another process answers, also copies that come a little later. */
  dropAnswered(keys: readonly string[]): void {
    this.#answeredElsewhere = new Set(keys);
    setTimeout(() => {
      this.#answeredElsewhere = new Set();
    }, lateCopyMsMax).unref();
    const isOurs = ({ message, body }: Waiting): boolean =>
      !this.#answeredElsewhere.has(requestKey(message, body));
    for (const { body } of this.#held.filter((waiting) => !isOurs(waiting)))
      this.#waitingBytes -= body.length;
    this.#held = this.#held.filter(isOurs);
  }

  #isElsewhere(message: Msg): boolean {
    if (this.#noted === undefined && this.#answeredElsewhere.size === 0) return false;
    const key = requestKey(message, message.data);
    if (this.#answeredElsewhere.has(key)) return true;
    if ((this.#noted?.size ?? 0) < notedMax) this.#noted?.add(key);
    return false;
  }

  /** Number of requests that were dropped or refused because there were too many. */
  get dropped(): number {
    return this.#dropped;
  }

  #receive(action: Action, message: Msg): void {
    const bytes = message.data.length;
    if (this.#isElsewhere(message)) return;
    if (bytes > action.bodyBytesMax) {
      const text = `the body has ${bytes} bytes, at most ${action.bodyBytesMax} are read`;
      this.#refuse(action, message, new NexError("request_too_large", `Cannot read the request: ${text}`));
      return;
    }
    const isWaitingFull =
      this.#waiting.length + this.#held.length >= requestsWaitingMax ||
      this.#waitingBytes + bytes > waitingBytesMax;
    if (isWaitingFull || !this.#isInRate(action)) {
      this.#dropped++;
      const text = "Too many requests come to this node, try again later";
      this.#refuse(action, message, new NexError("timeout", text));
      return;
    }
    // Copied: the body is a view of the connection's chunk.
    const waiting = { action, message, body: Buffer.from(message.data) };
    this.#waitingBytes += bytes;
    if (this.#isHeld(action)) {
      this.#held.push(waiting);
      return;
    }
    this.#waiting.push(waiting);
    this.#schedule();
  }

  #refuse(action: Action, message: Msg, error: NexError): void {
    if (action.isScattered !== true) this.#fail(action, message, error);
  }

  #isInRate(action: Action): boolean {
    const taken = this.#takenBy(action);
    taken.count++;
    return taken.count <= action.perSecondMax && taken.threadMs <= action.threadMsPerSecondMax;
  }

  #takenBy(action: Action): Taken {
    const second = Math.floor(performance.now() / msPerSecond);
    let taken = this.#taken.get(action);
    if (taken === undefined || taken.second !== second) {
      taken = { second, count: 0, threadMs: 0 };
      this.#taken.set(action, taken);
    }
    return taken;
  }

  /** Runs the synchronous part of a handler, and counts its time. */
  #timed<T>(action: Action, work: () => T): T {
    const beganMs = performance.now();
    try {
      return work();
    } finally {
      this.#takenBy(action).threadMs += performance.now() - beganMs;
    }
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      const beganMs = performance.now();
      for (let taken = 0; taken < requestsPerTurnMax; taken++) {
        const next = this.#waiting.shift();
        if (next === undefined) break;
        this.#waitingBytes -= next.body.length;
        this.#run(next.action, next.message, next.body);
        if (performance.now() - beganMs > turnMsMax) break;
      }
      if (this.#waiting.length > 0) this.#schedule();
    });
  }

  #run(action: Action, message: Msg, body: Uint8Array): void {
    const running = this.#carryOut(action, message, body).finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  async #carryOut(action: Action, message: Msg, body: Uint8Array): Promise<void> {
    try {
      const data = await this.#timed(action, () => action.handle(message.subject, body));
      if (data === undefined) return;
      this.#timed(action, () => this.#answer(action, message, this.#fitting(action, data)));
    } catch (thrown) {
      const error = toNexError(thrown);
      if (error.code === "internal")
        this.#log.error({ subject: message.subject, err: thrown }, "request failed");
      if (action.silent !== true) this.#fail(action, message, error);
    }
  }

  /** @throws NexError `internal` when the answer does not fit a message, so that the requester gets an error instead. */
  #fitting(action: Action, data: object): Uint8Array {
    const bytes = encodeResponse(action.kind, data);
    if (this.#fits(bytes)) return bytes;
    throw new NexError(
      "internal",
      `Cannot answer the request: the answer has ${bytes.length} bytes, which is more than the NATS server takes`,
    );
  }

  #fits(bytes: Uint8Array): boolean {
    return bytes.length <= (this.#connection.info?.max_payload ?? bytes.length);
  }

  #fail(action: Action, message: Msg, error: NexError): void {
    const bytes = encodeFailure(action.kind, error);
    const short = (): NexError => new NexError(error.code, printable(error.message));
    this.#answer(action, message, this.#fits(bytes) ? bytes : encodeFailure(action.kind, short()));
  }

  #answer(action: Action, message: Msg, bytes: Uint8Array): void {
    if (!message.reply || this.#connection.isClosed()) return;
    try {
      message.respond(bytes);
    } catch (thrown) {
      this.#log.warn({ kind: action.kind, reason: toNexError(thrown).message }, "answer could not be sent");
    }
  }

  /** Takes no more requests, and waits for those that run. */
  async stop(): Promise<void> {
    await Promise.all(this.#subscriptions.splice(0).map((subscription) => subscription.drain()));
    while (this.#waiting.length > 0 || this.#running.size > 0) {
      await Promise.all(this.#running);
      await new Promise(setImmediate);
    }
  }
}

/** Names a request: its reply subject is its requester's alone, and one without is named by its content. */
function requestKey({ subject, reply = "" }: Msg, body: Uint8Array): string {
  return createHash("sha256").update(`${subject} ${reply} `).update(body).digest("base64url");
}
