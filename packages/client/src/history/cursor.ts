/** A place in a stream, for the messages of one subject. */
import type { KeptStream } from "./kept-stream.ts";
import type { StoredMessage } from "./stored-messages.ts";

/** Limits of one read. A slow reader holds no more than this of each cursor. */
const batchMessages = 1_000;
const batchBytes = 2_097_152;

export class Cursor {
  readonly stream: KeptStream;
  readonly subject: string;
  /** Number of the next message. */
  next: number;
  /** Whether there was nothing more when it was last asked. */
  isAtEnd = false;
  /** The last message that was read. */
  #last: Pick<StoredMessage, "sequence" | "timestamp"> | undefined;
  #buffer: StoredMessage[] = [];
  #at = 0;

  constructor(stream: KeptStream, subject: string, next: number) {
    this.stream = stream;
    this.subject = subject;
    this.next = next;
  }

  /** The message at the cursor, if it has been read. */
  get head(): StoredMessage | undefined {
    return this.#buffer[this.#at];
  }

  /** Goes on to the next message. */
  step(): void {
    this.#at++;
  }

  /**
   * Reads further messages, once all have been taken.
   *
   * @returns false when the server did not answer.
   * @throws NexError as `readStored`
   */
  async fill(): Promise<boolean> {
    const { messages, left } = await this.stream.read({
      seq: this.next,
      next_by_subj: this.subject,
      batch: batchMessages,
      max_bytes: batchBytes,
    });
    this.#buffer = messages;
    this.#at = 0;
    const last = messages.at(-1);
    if (last !== undefined) {
      this.next = last.sequence + 1;
      this.#last = last;
    }
    this.isAtEnd = left === 0;
    return left !== undefined || last !== undefined;
  }

  /** Starts anew: another stream has the name now. */
  restart(): void {
    this.next = 1;
    this.#last = undefined;
  }

  /**
   * Finds the place again after a server may have lost its latest messages: it gives their numbers to others then.
   *
   * @param last Number of the last message of the stream, or of an earlier one.
   * @returns false when the server did not answer.
   * @throws NexError as `readStored`
   */
  async realign(last: number): Promise<boolean> {
    const { stream } = this;
    const read = this.#last;
    if (read === undefined) {
      this.next = Math.min(this.next, last + 1);
      return true;
    }
    const { sequence, timestamp } = read;
    const { messages, left } = await stream.read({ seq: sequence, batch: 1 });
    if (left === undefined) return false;
    if (messages[0]?.sequence === sequence && messages[0].timestamp === timestamp) return true;
    const later = await stream.read({ start_time: timestamp, batch: 2 });
    if (later.left === undefined) return false;
    this.next = later.messages.find((message) => message.timestamp !== timestamp)?.sequence ?? last + 1;
    return true;
  }

  /** Leaves out what comes from here on. */
  end(): void {
    this.#buffer = [];
    this.#at = 0;
    this.isAtEnd = true;
  }

  /** Number of messages from a number on. @returns `undefined` when the server did not answer. */
  async countFrom(sequence: number): Promise<number | undefined> {
    const { messages, left } = await this.stream.read({
      seq: sequence,
      next_by_subj: this.subject,
      batch: 1,
    });
    return left === undefined ? undefined : left + messages.length;
  }
}
