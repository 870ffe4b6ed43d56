/** Connections for triggers and replies: one interface, on nats.js alone or with our own dispatch. */
import type { Msg, NatsConnection, Subscription } from "@nats-io/nats-core";
import { MsgHdrsImpl } from "@nats-io/nats-core/internal";
import type { MessageView, ReplyView } from "@nexengine/protocol/agent";
import { onDenied } from "../../connections/denied-subscriptions.ts";
import type { Subscribed, SubscribingConnection } from "../../connections/lasting-subscription.ts";
import { unsentBytes } from "../../connections/unsent-bytes.ts";

/** The reply subject of a message, as a range of a buffer. The range is empty when there is none. */
export interface ReplySubject {
  bytes: Buffer;
  replyStart: number;
  replyEnd: number;
}

/** A message that fired a trigger, as ranges of a buffer. */
export interface TriggerMessage
  extends Omit<MessageView, "triggerPlace" | "deliveryStart" | "deliveryEnd">,
    ReplySubject {
  bytes: Buffer;
}

/** Headers and payload of a message to publish, as ranges of a buffer. Headers end where the payload starts. */
export type MessageContent = Omit<ReplyView, "runTicks">;

/** Takes a message. The view is reused for the next message after the call; its buffer is not. */
export type MessageTaker = (message: TriggerMessage) => void;

export interface TriggerConnection extends SubscribingConnection {
  /** Maximum size of a message, with headers. */
  readonly payloadBytesMax: number;
  /** @param queue The queue group, if any. */
  subscribe(subject: string, queue: string | undefined, take: MessageTaker): Subscribed;
  /**
   * Replies at the end of the turn. The bytes are copied or sent before this returns.
   *
   * @returns false when the reply was dropped: there is no server, or it does not read.
   */
  publish(to: ReplySubject, content: MessageContent): boolean;
}

/** Maximum unsent bytes of a connection. Above it, replies are dropped: the server does not read. */
export const repliesUnsentBytesMax = 64 * 1024 * 1024;

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

  subscribe(subject: string, queue: string | undefined, take: MessageTaker): Subscribed {
    const subscription: Subscription = this.#connection.subscribe(subject, {
      ...(queue === undefined ? {} : { queue }),
      callback: (error, message) => {
        if (error === null) handOut(message, take);
      },
    });
    return { drain: () => subscription.drain(), drop: () => subscription.unsubscribe() };
  }

  publish(to: ReplySubject, { bytes, headersStart, payloadStart, payloadEnd }: MessageContent): boolean {
    if (this.#connection.isClosed() || unsentBytes(this.#connection) > repliesUnsentBytesMax) return false;
    const subject = to.bytes.toString("utf8", to.replyStart, to.replyEnd);
    // The connection may keep what it is given until it flushes.
    const payload = Buffer.from(bytes.subarray(payloadStart, payloadEnd));
    const block = bytes.subarray(headersStart, payloadStart);
    this.#connection.publish(
      subject,
      payload,
      block.length === 0 ? {} : { headers: MsgHdrsImpl.decode(block) },
    );
    return true;
  }

  async flush(): Promise<void> {
    await this.#connection.flush();
  }

  onDenied(subject: string, listener: () => void): () => void {
    return onDenied(this.#connection, subject, listener);
  }
}

/** Gives a message of nats.js to a taker, as one buffer. */
export function handOut(message: Msg, take: MessageTaker): void {
  const subject = Buffer.from(message.subject);
  const reply = message.reply === undefined ? noBytes : Buffer.from(message.reply);
  const block = message.headers === undefined ? noBytes : (message.headers as MsgHdrsImpl).encode();
  const bytes = Buffer.concat([subject, reply, block, message.data]);
  const replyEnd = subject.length + reply.length;
  take({
    bytes,
    subjectStart: 0,
    subjectEnd: subject.length,
    replyStart: subject.length,
    replyEnd,
    headersStart: replyEnd,
    payloadStart: replyEnd + block.length,
    payloadEnd: bytes.length,
  });
}
