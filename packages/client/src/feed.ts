/** A subscription as an async iterable with a bounded buffer. */
import type { Msg, NatsConnection, Subscription } from "@nats-io/nats-core";

const bufferedMax = 10_000;

/** How a feed is ended beside leaving the loop. */
export interface FeedOptions {
  signal?: AbortSignal | undefined;
}

/**
 * What arrives on some subjects. Ends when it is disposed of, by its signal, or with the connection. A reader that is
 * slower than the feed loses the oldest entries; `dropped` counts them.
 */
export class Feed<T> implements AsyncIterable<T>, AsyncDisposable {
  readonly #buffer: T[] = [];
  readonly #subscriptions: Subscription[];
  #wake: PromiseWithResolvers<void> | undefined;
  #ended = false;
  #dropped = 0;

  constructor(
    connection: NatsConnection,
    subjects: readonly string[],
    read: (message: Msg) => T | undefined,
    options: FeedOptions = {},
  ) {
    this.#subscriptions = subjects.map((subject) =>
      connection.subscribe(subject, {
        callback: (error, message) => {
          if (error !== null) return;
          const entry = read(message);
          if (entry !== undefined) this.#push(entry);
        },
      }),
    );
    void connection.closed().then(() => this.#end());
    options.signal?.addEventListener("abort", () => void this[Symbol.asyncDispose](), { once: true });
    if (options.signal?.aborted === true) void this[Symbol.asyncDispose]();
  }

  /** How many entries were lost because nobody read them. */
  get dropped(): number {
    return this.#dropped;
  }

  #push(entry: T): void {
    if (this.#ended) return;
    if (this.#buffer.length >= bufferedMax) {
      this.#buffer.shift();
      this.#dropped++;
    }
    this.#buffer.push(entry);
    this.#wake?.resolve();
  }

  #end(): void {
    this.#ended = true;
    this.#wake?.resolve();
  }

  async *[Symbol.asyncIterator](): AsyncIterator<T> {
    try {
      for (;;) {
        const entry = this.#buffer.shift();
        if (entry !== undefined) {
          yield entry;
          continue;
        }
        if (this.#ended) return;
        this.#wake = Promise.withResolvers<void>();
        await this.#wake.promise;
        this.#wake = undefined;
      }
    } finally {
      await this[Symbol.asyncDispose]();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end();
    for (const subscription of this.#subscriptions) if (!subscription.isClosed()) subscription.unsubscribe();
  }
}
