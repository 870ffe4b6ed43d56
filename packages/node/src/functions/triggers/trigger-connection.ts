/** Where triggers are subscribed and their calls answered: one interface, on nats.js alone or with our own dispatch. */
import type { Msg, NatsConnection, Subscription } from "@nats-io/nats-core";
import { MsgHdrsImpl } from "@nats-io/nats-core/internal";

/**
 * Gets each message: one buffer, which stays as it is for as long as somebody holds it, and where in it the parts are.
 * Headers end where the payload begins; a reply subject that is not there ends where it starts.
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
  /** Takes no more messages; what the server sent before is still handed out until this settles. */
  drain(): Promise<void>;
}

export interface TriggerConnection {
  /** The most bytes of a message, headers included, that the server takes. */
  readonly payloadBytesMax: number;
  readonly isClosed: boolean;
  /** @param queue The queue group; none when absent. */
  subscribe(subject: string, queue: string | undefined, take: MessageTaker): TriggerSubscription;
  /** Publishes; what it is given is copied or sent before this returns, and goes out at the end of the turn. */
  publish(
    subjectFrom: Buffer,
    subjectStart: number,
    subjectEnd: number,
    bytes: Buffer,
    headersStart: number,
    payloadStart: number,
    payloadEnd: number,
  ): void;
  /** Waits until the server has taken what was subscribed. */
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
