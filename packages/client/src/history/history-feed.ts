/**
 * The history of some subjects as an async iterable, and what comes after it. Both are read by the numbers of the messages, so
 * there is no gap between them, and a lost server only makes a pause.
 */
import { setTimeout as delay } from "node:timers/promises";
import { NexError } from "@nexengine/protocol/errors";
import type { Cursor } from "./cursor.ts";
import type { KeptStream, StreamFacts } from "./kept-stream.ts";
import type { StoredMessage } from "./stored-messages.ts";

/** Pause after a read that found nothing new; it doubles while nothing comes. */
const pollFirstMs = 50;
const pollMaxMs = 500;
/** Pause after a read without an answer. */
const retryMs = 500;
/** Reads without an answer, one after another, that end a feed which does not follow. */
const unansweredMax = 20;
/** Answers, one after another, that a stream is not there. A server that starts may not know it yet. */
const missingMax = 3;
/** Interval at which a stream is looked at while nothing comes: another one of its name begins with 1 again. */
const lookMs = 5_000;

/** A stream of a feed, as it was last looked at. */
export interface ReadStream {
  stream: KeptStream;
  facts: StreamFacts;
  /** The connection on which it was looked at. */
  lookedOn: string;
  cursors: Cursor[];
}

/** Options of a feed of history. */
export interface HistoryFeedOptions<T> {
  streams: readonly ReadStream[];
  /** Makes an entry of a message; a message without one is passed over. */
  read(message: StoredMessage): T | undefined;
  /** Gives the last entries of the history only. */
  tail: number | undefined;
  /** Whether it goes on with what comes. */
  follow: boolean;
  /** Ends the feed. */
  stopping: AbortController;
}

/**
 * Entries in the order of their times. A feed ends when it is disposed of, when its loop is left, by its signal, with the
 * connection, and at the end of the history unless it follows. It reads as fast as its reader, who misses nothing.
 *
 * Iterating throws `history_missing` when the stream is deleted, `timeout` when the server is lost and the feed does not
 * follow, and what `logHistory` throws.
 */
export class HistoryFeed<T> implements AsyncIterable<T>, AsyncDisposable {
  readonly #options: HistoryFeedOptions<T>;
  readonly #cursors: readonly Cursor[];
  readonly #stopping: AbortController;
  #lookedAt = performance.now();
  #pollMs = pollFirstMs;

  /** Use `logHistory` or `eventHistory` of a client. */
  constructor(options: HistoryFeedOptions<T>) {
    this.#options = options;
    this.#stopping = options.stopping;
    this.#cursors = options.streams.flatMap(({ cursors }) => cursors);
  }

  async *[Symbol.asyncIterator](): AsyncIterator<T> {
    try {
      yield* this.#options.tail === undefined ? this.#entries() : this.#tailed(this.#options.tail);
    } finally {
      this.#stopping.abort();
    }
  }

  /** Holds entries back until the history has ended. */
  async *#tailed(count: number): AsyncGenerator<T> {
    let last: T[] | undefined = [];
    for await (const entry of this.#messages()) {
      const isHistory = entry !== undefined && entry.message.sequence <= entry.last;
      if (last !== undefined && isHistory) {
        const read = this.#options.read(entry.message);
        if (read === undefined) continue;
        if (last.push(read) > count) last.shift();
        continue;
      }
      if (last !== undefined) yield* last;
      last = undefined;
      const read = entry && this.#options.read(entry.message);
      if (read !== undefined) yield read;
    }
    if (last !== undefined) yield* last;
  }

  async *#entries(): AsyncGenerator<T> {
    for await (const entry of this.#messages()) {
      const read = entry && this.#options.read(entry.message);
      if (read !== undefined) yield read;
    }
  }

  /** Gives messages with the last number of the history of their stream, and `undefined` where all was read. */
  async *#messages(): AsyncGenerator<{ message: StoredMessage; last: number } | undefined> {
    const { streams, follow } = this.#options;
    const ends = new Map(streams.map(({ stream, facts }) => [stream, facts.last]));
    let previous: { stream: KeptStream; sequence: number } | undefined;
    while (!this.#stopping.signal.aborted) {
      const cursor = await this.#earliest();
      const message = cursor?.head;
      if (cursor === undefined || message === undefined) {
        if (!follow) return;
        yield undefined;
        await this.#rest();
        continue;
      }
      const last = ends.get(cursor.stream) ?? 0;
      if (!follow && message.sequence > last) {
        cursor.end();
        continue;
      }
      cursor.step();
      this.#pollMs = pollFirstMs;
      // A message can have two of the subjects.
      const isTwice = previous?.stream === cursor.stream && previous.sequence === message.sequence;
      previous = { stream: cursor.stream, sequence: message.sequence };
      if (!isTwice) yield { message, last };
    }
  }

  /** The cursor with the earliest message. @returns `undefined` when all are at the end. */
  async #earliest(): Promise<Cursor | undefined> {
    let earliest: Cursor | undefined;
    for (const cursor of this.#cursors) {
      if (cursor.head === undefined && !cursor.isAtEnd) await this.#fill(cursor);
      if (cursor.head === undefined) continue;
      if (earliest?.head === undefined || isBefore(cursor.head, earliest.head)) earliest = cursor;
    }
    return earliest;
  }

  /** Reads on, whatever the server does meanwhile. */
  async #fill(cursor: Cursor): Promise<void> {
    const read = this.#options.streams.find(({ stream }) => stream === cursor.stream);
    for (let unanswered = 0, missing = 0; !this.#stopping.signal.aborted; ) {
      const isLookedAt = read?.lookedOn === cursor.stream.connectedTo;
      if (isLookedAt && (await cursor.fill())) {
        if (cursor.head !== undefined || cursor.isAtEnd) return;
        continue;
      }
      if (!this.#options.follow && ++unanswered >= unansweredMax) {
        throw new NexError(
          "timeout",
          `Cannot read the stream ${cursor.stream.name} further: JetStream does not answer`,
        );
      }
      if (isLookedAt) await this.#pause(retryMs);
      try {
        await this.#look(cursor.stream);
        missing = 0;
      } catch (error) {
        if (!(error instanceof NexError) || error.code !== "history_missing" || ++missing >= missingMax)
          throw error;
      }
    }
  }

  /** Waits for what comes. */
  async #rest(): Promise<void> {
    await this.#pause(this.#pollMs);
    this.#pollMs = Math.min(this.#pollMs * 2, pollMaxMs);
    if (performance.now() - this.#lookedAt >= lookMs) {
      this.#lookedAt = performance.now();
      // A stream that is not there makes the next read fail, which looks again.
      for (const { stream } of this.#options.streams) await this.#look(stream).catch(() => undefined);
    }
    for (const cursor of this.#cursors) cursor.isAtEnd = false;
  }

  /** Finds out whether a stream goes on where it was. @throws NexError `history_missing`, `connection_failed` */
  async #look(stream: KeptStream): Promise<void> {
    const read = this.#options.streams.find((one) => one.stream === stream);
    const lookedOn = stream.connectedTo;
    const facts = await stream.look();
    if (read === undefined || facts === undefined) return;
    for (const cursor of read.cursors) {
      if (facts.created !== read.facts.created) cursor.restart();
      else if (!(await cursor.realign(facts.last))) return;
    }
    read.facts = facts;
    read.lookedOn = lookedOn;
  }

  async #pause(ms: number): Promise<void> {
    await delay(ms, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
  }

  /** Ends the feed, and with it a loop over it. Idempotent. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
  }
}

function isBefore(one: StoredMessage, other: StoredMessage): boolean {
  const ms = one.time.getTime() - other.time.getTime();
  return ms < 0 || (ms === 0 && one.sequence < other.sequence);
}
