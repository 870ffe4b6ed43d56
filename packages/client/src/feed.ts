/** Subscriptions as an async iterable with a bounded buffer. */
import type { Msg, NatsConnection, Subscription } from "@nats-io/nats-core";
import type { NexError } from "@nexengine/protocol/errors";
import { notSent } from "./request-failure.ts";

const queueMaxDefault = 10_000;

/** How a feed is ended beside leaving the loop, and how far its reader may fall behind. */
export interface FeedOptions {
  signal?: AbortSignal | undefined;
  /** Maximum number of entries kept for the reader; 10,000 when absent. */
  queueMax?: number | undefined;
}

/**
 * Messages that arrive on some subjects. A feed ends when it is disposed of, when its loop is left, by its signal, or
 * with the connection. A reader that is slower than the feed loses the oldest entries; `dropped` counts them.
 *
 * Iterating throws `connection_failed` where the server does not permit the subscription.
 */
export class Feed<T> implements AsyncIterable<T>, AsyncDisposable {
  readonly #buffer: T[] = [];
  readonly #queueMax: number;
  readonly #subscriptions: Subscription[] = [];
  readonly #signal: AbortSignal | undefined;
  readonly #abort = (): void => this.#dispose();
  #wake = Promise.withResolvers<void>();
  #ended = false;
  #failure: NexError | undefined;
  #dropped = 0;

  /**
   * @param read Makes an entry of a message; what it gives `undefined` for is passed over.
   * @throws NexError `connection_failed`
   */
  constructor(
    connection: NatsConnection,
    subjects: readonly string[],
    read: (message: Msg) => T | undefined,
    { signal, queueMax = queueMaxDefault }: FeedOptions = {},
  ) {
    this.#queueMax = queueMax;
    this.#signal = signal;
    try {
      for (const subject of subjects) this.#subscriptions.push(this.#subscribe(connection, subject, read));
    } catch (cause) {
      this.#dispose();
      throw notSent(cause, "Cannot watch");
    }
    void connection.closed().then(() => this.#end());
    signal?.addEventListener("abort", this.#abort, { once: true });
    if (signal?.aborted === true) this.#dispose();
  }

  #subscribe(
    connection: NatsConnection,
    subject: string,
    read: (message: Msg) => T | undefined,
  ): Subscription {
    return connection.subscribe(subject, {
      callback: (error, message) => {
        if (error !== null) return this.#fail(notSent(error, "Cannot watch"));
        const entry = read(message);
        if (entry !== undefined) this.#push(entry);
      },
    });
  }

  /** How many entries were lost because nobody read them in time. */
  get dropped(): number {
    return this.#dropped;
  }

  #push(entry: T): void {
    if (this.#ended) return;
    if (this.#buffer.length >= this.#queueMax) {
      this.#buffer.shift();
      this.#dropped++;
    }
    this.#buffer.push(entry);
    this.#wake.resolve();
  }

  #fail(failure: NexError): void {
    if (this.#ended) return;
    this.#failure = failure;
    this.#end();
  }

  /** Nothing more comes; what came is still there to be read. Idempotent. */
  #end(): void {
    this.#ended = true;
    this.#signal?.removeEventListener("abort", this.#abort);
    for (const subscription of this.#subscriptions) if (!subscription.isClosed()) subscription.unsubscribe();
    this.#wake.resolve();
  }

  #dispose(): void {
    this.#end();
    this.#buffer.length = 0;
  }

  async *[Symbol.asyncIterator](): AsyncIterator<T> {
    try {
      for (;;) {
        const entry = this.#buffer.shift();
        if (entry !== undefined) {
          yield entry;
          continue;
        }
        if (this.#failure !== undefined) throw this.#failure;
        if (this.#ended) return;
        const wake = this.#wake;
        await wake.promise;
        // Several loops can wait on one feed. The first one renews the wake; the others must not renew it again, or an
        // entry that comes in between would wake nobody.
        if (this.#wake === wake && !this.#ended) this.#wake = Promise.withResolvers<void>();
      }
    } finally {
      this.#dispose();
    }
  }

  /** Ends the feed, and with it a loop over it. Idempotent. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#dispose();
  }
}
