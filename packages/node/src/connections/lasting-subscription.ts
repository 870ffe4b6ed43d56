/**
 * A subscription that is tried again when NATS refuses it. A server that loads other permissions drops subscriptions, and
 * does not bring them back when they are permitted again.
 */
import { setImmediate as turn } from "node:timers/promises";
import type { NatsConnection } from "@nats-io/nats-core";
import { onDenied } from "./signals.ts";

const retryFirstMs = 250;
const retryMaxMs = 5_000;

/** A connection as this file needs it. */
export interface SubscribingConnection {
  readonly isClosed: boolean;
  /** Returns once the server has answered all subscriptions. */
  flush(): Promise<void>;
  /** Calls the listener whenever the server refuses a subscription. @returns a function that ends this */
  onDenied(subject: string, listener: () => void): () => void;
}

/** The server's side of a subscription. */
export interface Subscribed {
  /** Takes no more messages. Those that the server has sent already are delivered before this settles. */
  drain(): Promise<void>;
  /** Takes no more messages, at once. */
  drop(): void;
}

/** Told about refusals. A refusal that the first retry mends is not told. */
export interface RefusalListener {
  refused(): void;
  back(): void;
}

/** A connection of nats.js, for lasting subscriptions. */
export function subscribingConnection(connection: NatsConnection): SubscribingConnection {
  return {
    get isClosed() {
      return connection.isClosed();
    },
    flush: () => connection.flush(),
    onDenied: (subject, listener) => onDenied(connection, subject, listener),
  };
}

export class LastingSubscription {
  readonly #connection: SubscribingConnection;
  readonly #subscribe: () => Subscribed;
  readonly #listener: RefusalListener;
  readonly #unfollow: () => void;
  #subscribed: Subscribed;
  #isDenied = false;
  #isTold = false;
  #isRetrying = false;
  #isEnded = false;
  #retryMs = retryFirstMs;
  #timer: NodeJS.Timeout | undefined;

  /** @param subscribe Called again for each retry. */
  constructor(
    connection: SubscribingConnection,
    subject: string,
    subscribe: () => Subscribed,
    listener: RefusalListener,
  ) {
    this.#connection = connection;
    this.#subscribe = subscribe;
    this.#listener = listener;
    this.#unfollow = connection.onDenied(subject, () => this.#denied());
    this.#subscribed = subscribe();
  }

  /** Whether the server refuses it. */
  get isDenied(): boolean {
    return this.#isDenied || this.#isRetrying;
  }

  #denied(): void {
    this.#isDenied = true;
    if (!this.#isRetrying) this.#schedule();
  }

  #schedule(): void {
    if (this.#isEnded || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#retry();
    }, this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, retryMaxMs);
  }

  async #retry(): Promise<void> {
    this.#isRetrying = true;
    this.#isDenied = false;
    try {
      this.#subscribed.drop();
      this.#subscribed = this.#subscribe();
      await this.#connection.flush();
      // The library reports a refusal within the turn in which it reads it.
      await turn();
    } catch {
      // The connection is away, and the answer with it.
      this.#isDenied = true;
    }
    this.#isRetrying = false;
    if (this.#isEnded) return;
    if (this.#isDenied) {
      this.#schedule();
      if (!this.#isTold) this.#listener.refused();
      this.#isTold = true;
      return;
    }
    this.#retryMs = retryFirstMs;
    if (this.#isTold) this.#listener.back();
    this.#isTold = false;
  }

  /** Ends it. Messages that the server has sent already are delivered before this settles. */
  async drain(): Promise<void> {
    if (this.#isEnded) return;
    this.#isEnded = true;
    clearTimeout(this.#timer);
    this.#unfollow();
    if (this.#connection.isClosed || this.isDenied) this.#subscribed.drop();
    else await this.#subscribed.drain();
  }
}
