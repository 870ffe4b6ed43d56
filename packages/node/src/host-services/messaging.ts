/** `hostServices.messaging`: messages and requests, on the connection of the function's triggers. */
import type { NatsConnection } from "@nats-io/nats-core";
import { hostCallBytesMax } from "@nexengine/protocol/agent";
import { isPublishableSubject, overlapping } from "@nexengine/protocol/subjects";
import {
  assertTakesMore,
  type Method,
  nothing,
  numberOf,
  optionsOf,
  ServiceError,
  textOf,
} from "./service.ts";

const repliesMax = 10_000;
const timeMsMax = 60_000;

export interface MessagingSettings {
  requestTimeoutMs: number;
  /** Time to wait for replies to `requestMany`. */
  requestManyTimeoutMs: number;
}

export class MessagingService {
  readonly #connection: NatsConnection;
  readonly #denied: readonly string[];
  readonly #settings: MessagingSettings;

  /** @param denied Denied subjects, besides those that are always denied. */
  constructor(connection: NatsConnection, denied: readonly string[], settings: MessagingSettings) {
    this.#connection = connection;
    this.#denied = denied;
    this.#settings = settings;
  }

  readonly publish: Method = async ([subject, payload]) => {
    const { to, bytes } = this.#message(subject, payload);
    this.#connection.publish(to, bytes);
    return nothing;
  };

  readonly request: Method = async ([subject, payload, options], room) => {
    const { to, bytes } = this.#message(subject, payload);
    const timeout = numberOf(optionsOf(options), "timeoutMs", {
      min: 1,
      max: timeMsMax,
      otherwise: this.#settings.requestTimeoutMs,
    });
    try {
      const reply = await this.#connection.request(to, bytes, { timeout });
      room.take(reply.data.length);
      return { kind: "bytes", bytes: reply.data };
    } catch (error) {
      if (error instanceof ServiceError) throw error;
      throw requestFailure(error, to, timeout);
    }
  };

  readonly requestMany: Method = async ([subject, payload, optionsArg], room) => {
    const { to, bytes } = this.#message(subject, payload);
    const options = optionsOf(optionsArg);
    const maxWait = numberOf(options, "timeoutMs", {
      min: 1,
      max: timeMsMax,
      otherwise: this.#settings.requestManyTimeoutMs,
    });
    const maxMessages = numberOf(options, "max", { min: 1, max: repliesMax, otherwise: repliesMax });
    const items: Uint8Array[] = [];
    let size = 0;
    try {
      const replies = await this.#connection.requestMany(to, bytes, {
        strategy: "count",
        maxMessages,
        maxWait,
      });
      for await (const { data } of replies) {
        size += data.length + 4;
        if (size >= hostCallBytesMax)
          throw new ServiceError(413, `the replies have over ${hostCallBytesMax} bytes`);
        room.take(data.length);
        items.push(data);
      }
    } catch (error) {
      if (error instanceof ServiceError) throw error;
      // The timeout is the normal end.
      if (!/timeout/i.test(String(error))) throw requestFailure(error, to, maxWait);
    }
    return { kind: "list", items };
  };

  #message(subject: Buffer | undefined, payload: Buffer | undefined): { to: string; bytes: Uint8Array } {
    const to = textOf(subject, "subject and payload are required");
    if (payload === undefined) throw new ServiceError(400, "subject and payload are required");
    if (!isPublishableSubject(to))
      throw new ServiceError(400, `"${to.slice(0, 100)}" is not a subject to which one can publish`);
    if (to.startsWith("$")) throw new ServiceError(403, `the subject ${to} is denied: it begins with $`);
    const [denied] = overlapping(to, this.#denied);
    if (denied !== undefined) throw new ServiceError(403, `the subject ${to} is denied by ${denied}`);
    const max = this.#connection.info?.max_payload ?? Number.POSITIVE_INFINITY;
    if (payload.length > max)
      throw new ServiceError(413, `the message has ${payload.length} bytes, the server takes ${max}`);
    assertTakesMore(this.#connection);
    return { to, bytes: payload };
  }
}

function requestFailure(error: unknown, subject: string, timeoutMs: number): unknown {
  const text = String(error);
  if (/no responders/i.test(text)) return new ServiceError(503, `nobody answers on ${subject}`);
  if (/timeout/i.test(text)) return new ServiceError(408, `no answer on ${subject} within ${timeoutMs} ms`);
  return error;
}
