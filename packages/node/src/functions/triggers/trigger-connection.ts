/** Connections for triggers and replies: one interface, on nats.js alone or with our own dispatch. */
import { createInbox, type Msg, type NatsConnection, type Subscription } from "@nats-io/nats-core";
import { MsgHdrsImpl } from "@nats-io/nats-core/internal";
import type { MessageView, ReplyView } from "@nexengine/protocol/agent";
import type { Subscribed, SubscribingConnection } from "../../connections/lasting-subscription.ts";
import { onDenied, onPublishDenied, onReconnect } from "../../connections/signals.ts";
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
  /**
   * Sends a request at the end of the turn, whose answers come to a subscription.
   *
   * @returns false when it was dropped, as with `publish`.
   */
  request(subject: string, answerTo: string, payload: string): boolean;
  /** As `request`, with headers. The bytes are copied or sent before this returns. */
  ask(subject: string, answerTo: string, content: MessageContent): boolean;
  /** A new subject for answers, which the connection may subscribe to. */
  newInbox(): string;
  /** Calls the listener whenever the connection is back after a loss. @returns a function that ends this */
  onReconnect(listener: () => void): () => void;
  /** Calls the listener with the subject of each publish that the server refuses. @returns a function that ends this */
  onPublishDenied(listener: (subject: string) => void): () => void;
}

/** Maximum unsent bytes of a connection. Above it, replies are dropped: the server does not read. */
export const repliesUnsentBytesMax = 64 * 1024 * 1024;

const noBytes = Buffer.alloc(0);

/** The parts that are the same with our own dispatch and without. */
export abstract class NatsTriggerConnection {
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

  async flush(): Promise<void> {
    await this.#connection.flush();
  }

  newInbox(): string {
    const { options } = this.#connection as unknown as { options?: { inboxPrefix?: string } };
    return createInbox(options?.inboxPrefix ?? "");
  }

  onDenied(subject: string, listener: () => void): () => void {
    return onDenied(this.#connection, subject, listener);
  }

  onReconnect(listener: () => void): () => void {
    return onReconnect(this.#connection, listener);
  }

  onPublishDenied(listener: (subject: string) => void): () => void {
    return onPublishDenied(this.#connection, listener);
  }
}

/** On nats.js alone. */
export class PlainTriggerConnection extends NatsTriggerConnection implements TriggerConnection {
  readonly #connection: NatsConnection;

  constructor(connection: NatsConnection) {
    super(connection);
    this.#connection = connection;
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

  publish(to: ReplySubject, content: MessageContent): boolean {
    return this.#publish(to.bytes.toString("utf8", to.replyStart, to.replyEnd), undefined, content);
  }

  ask(subject: string, answerTo: string, content: MessageContent): boolean {
    return this.#publish(subject, answerTo, content);
  }

  #publish(
    subject: string,
    reply: string | undefined,
    { bytes, headersStart, payloadStart, payloadEnd }: MessageContent,
  ): boolean {
    if (this.#connection.isClosed() || unsentBytes(this.#connection) > repliesUnsentBytesMax) return false;
    // The connection may keep what it is given until it flushes.
    const payload = Buffer.from(bytes.subarray(payloadStart, payloadEnd));
    const block = bytes.subarray(headersStart, payloadStart);
    this.#connection.publish(subject, payload, {
      ...(reply === undefined ? {} : { reply }),
      ...(block.length === 0 ? {} : { headers: MsgHdrsImpl.decode(block) }),
    });
    return true;
  }

  request(subject: string, answerTo: string, payload: string): boolean {
    if (this.#connection.isClosed() || unsentBytes(this.#connection) > repliesUnsentBytesMax) return false;
    this.#connection.publish(subject, payload, { reply: answerTo });
    return true;
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
