/** Control requests to all nodes at once. */
import { createInbox, type Msg } from "@nats-io/nats-core";
import { decodeResponse } from "@nexengine/protocol/messages";
import type { z } from "zod";
import { notSent } from "./request-failure.ts";
import { requestTimeoutMs } from "./requests.ts";
import type { Session } from "./session.ts";

/** How long answers are awaited. */
export interface ScatterOptions {
  /** The whole wait, in which the first answer must come; 2,000 when absent. */
  timeoutMs?: number;
  /** After the first answer: so long without another one ends the wait. At least 150 and four round trips. */
  stallMs?: number;
}

/** Further options, which only this package may use. */
export interface ScatterPlan extends ScatterOptions {
  /** When this settles, a stall ends the wait even before the first answer. */
  stallAfter?: Promise<unknown>;
}

const stallFloorMs = 150;
const stallRoundTrips = 4;
/** More answers than this are not collected. */
const answersMax = 10_000;

/**
 * Asks all nodes and collects what they answer. Ends early when nobody is there, or when no further answer came for
 * a while; answers that can't be read are passed over, and of two from one node the first counts.
 *
 * @throws NexError `connection_failed`, also when the server does not permit the request
 */
export async function askAll<T extends { node_id: string }>(
  session: Session,
  subject: string,
  body: Uint8Array | string,
  schema: z.ZodType<T>,
  plan: ScatterPlan = {},
): Promise<T[]> {
  const wait = new StallingWait(plan);
  const answers = new Map<string, T>();
  try {
    const subscription = session.connection.subscribe(createInbox(session.inboxPrefix), {
      callback: (error, message) => {
        if (error !== null) return wait.fail(error);
        if (isNoResponders(message)) return wait.end();
        const answer = readQuietly(message.data, schema);
        if (answer === undefined || answers.has(answer.node_id)) return;
        answers.set(answer.node_id, answer);
        if (answers.size >= answersMax) wait.end();
        else wait.restart();
      },
    });
    // So the NATS client knows whom to tell that the server refused the request; its own requests do the same.
    Object.assign(subscription, { requestSubject: subject });
    try {
      session.connection.publish(subject, body, { reply: subscription.getSubject() });
      // The answer comes after the request has passed the server, so before the first answer of a node.
      session.connection.rtt().then((ms) => wait.learnRoundTrip(ms), ignore);
      // Nothing comes any more, and a timer would hold up the end of the program.
      void session.connection.closed().then(() => wait.end());
      await wait.done;
    } finally {
      subscription.unsubscribe();
    }
  } catch (cause) {
    throw notSent(cause, "Cannot ask the nodes");
  } finally {
    wait.end();
  }
  return [...answers.values()];
}

/** A wait with a limit, which ends early when nothing happens for a while after the first event. */
class StallingWait {
  readonly #done = Promise.withResolvers<void>();
  readonly #limit: NodeJS.Timeout;
  #stall: NodeJS.Timeout | undefined;
  #stallMs: number;
  readonly #fixed: boolean;
  #ended = false;

  constructor({ timeoutMs = requestTimeoutMs, stallMs, stallAfter }: ScatterPlan) {
    this.#fixed = stallMs !== undefined;
    this.#stallMs = stallMs ?? stallFloorMs;
    this.#limit = setTimeout(() => this.end(), timeoutMs);
    const begin = (): void => {
      if (this.#stall === undefined) this.restart();
    };
    stallAfter?.then(begin, begin);
  }

  /** Settles when the wait is over; rejects with what `fail` was given. */
  get done(): Promise<void> {
    return this.#done.promise;
  }

  learnRoundTrip(ms: number): void {
    if (!this.#fixed) this.#stallMs = Math.max(stallFloorMs, stallRoundTrips * ms);
  }

  /** Something happened: the stall begins anew. */
  restart(): void {
    if (this.#ended) return;
    clearTimeout(this.#stall);
    this.#stall = setTimeout(() => this.end(), this.#stallMs);
  }

  fail(error: Error): void {
    this.#done.reject(error);
    this.end();
  }

  /** Idempotent. */
  end(): void {
    this.#ended = true;
    clearTimeout(this.#limit);
    clearTimeout(this.#stall);
    this.#done.resolve();
  }
}

function ignore(): void {}

function isNoResponders(message: Msg): boolean {
  return message.data.length === 0 && message.headers?.code === 503;
}

function readQuietly<T>(bytes: Uint8Array, schema: z.ZodType<T>): T | undefined {
  try {
    return decodeResponse(bytes, schema);
  } catch {
    return undefined;
  }
}
