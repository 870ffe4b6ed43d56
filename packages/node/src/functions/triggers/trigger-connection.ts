/** Connections for triggers and replies: one interface, on nats.js alone or with our own dispatch. */
import type { Msg, NatsConnection, Subscription } from "@nats-io/nats-core";
import { MsgHdrsImpl } from "@nats-io/nats-core/internal";

/**
 * Takes a message: a buffer that is not reused, and the ranges of its parts. Headers end where the payload starts.
 * A missing reply subject has an empty range.
 */
export type MessageTaker = (
  bytes: Buffer,
  subjectStart: number,
  subjectEnd: number,
  replyStart: number,
  replyEnd: number,
  headersStart: number,
  payloadStart: number,
  payloadEnd: number,
) => void;

/** A subscription of a trigger. */
export interface TriggerSubscription {
  /** Takes no more messages. Those that the server has sent already are delivered before this settles. */
  drain(): Promise<void>;
}

export interface TriggerConnection {
  /** Maximum size of a message, with headers. */
  readonly payloadBytesMax: number;
  readonly isClosed: boolean;
  /** @param queue The queue group, if any. */
  subscribe(subject: string, queue: string | undefined, take: MessageTaker): TriggerSubscription;
  /** Publishes at the end of the turn. The bytes are copied or sent before this returns. */
  publish(
    subjectFrom: Buffer,
    subjectStart: number,
    subjectEnd: number,
    bytes: Buffer,
    headersStart: number,
    payloadStart: number,
    payloadEnd: number,
  ): void;
  /** Returns once the server has all subscriptions. */
  flush(): Promise<void>;
}

const noBytes = Buffer.alloc(0);

/** On nats.js alone. */
export class PlainTriggerConnection implements TriggerConnection {
  readonly #connection: NatsConnection;

  constructor(connection: NatsConnection) {
    this.#connection = connection;
  }

  get payloadBytesMax(): number {
    return this.#connection.info?.max_payload ?? Number.POSITIVE_INFINITY;
  }

  get isClosed(): boolean {
    return this.#connection.isClosed();
  }

  subscribe(subject: string, queue: string | undefined, take: MessageTaker): TriggerSubscription {
    const subscription: Subscription = this.#connection.subscribe(subject, {
      ...(queue === undefined ? {} : { queue }),
      callback: (error, message) => {
        if (error === null) handOut(message, take);
      },
    });
    return { drain: () => subscription.drain() };
  }

  publish(
    subjectFrom: Buffer,
    subjectStart: number,
    subjectEnd: number,
    bytes: Buffer,
    headersStart: number,
    payloadStart: number,
    payloadEnd: number,
  ): void {
    if (this.#connection.isClosed()) return;
    const subject = subjectFrom.toString("utf8", subjectStart, subjectEnd);
    // The connection may keep what it is given until it flushes.
    const payload = Buffer.from(bytes.subarray(payloadStart, payloadEnd));
    const block = bytes.subarray(headersStart, payloadStart);
    this.#connection.publish(
      subject,
      payload,
      block.length === 0 ? {} : { headers: MsgHdrsImpl.decode(block) },
    );
  }

  async flush(): Promise<void> {
    await this.#connection.flush();
  }
}

/** Gives a message of nats.js to a taker, as one buffer. */
export function handOut(message: Msg, take: MessageTaker): void {
  const subject = Buffer.from(message.subject);
  const reply = message.reply === undefined ? noBytes : Buffer.from(message.reply);
  const block = message.headers === undefined ? noBytes : (message.headers as MsgHdrsImpl).encode();
  const bytes = Buffer.concat([subject, reply, block, message.data]);
  const replyEnd = subject.length + reply.length;
  const payloadStart = replyEnd + block.length;
  take(bytes, 0, subject.length, subject.length, replyEnd, replyEnd, payloadStart, bytes.length);
}
