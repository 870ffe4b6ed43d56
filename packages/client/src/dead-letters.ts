/** Dead letters of a namespace: messages that no call of a function has settled. */
import {
  JetStreamApiError,
  type JetStreamManager,
  jetstreamManager,
  type StoredMsg,
} from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/nats-core";
import { NexError } from "@nexengine/protocol/errors";
import { deadHeaders } from "@nexengine/protocol/messages";
import { deadStreamName, deadSubject, retrySubject } from "@nexengine/protocol/subjects";
import { type CallReply, callWith } from "./call.ts";
import { notSent, silenceKind } from "./request-failure.ts";
import type { Session } from "./session.ts";

const requestMs = 5_000;
const retryTimeoutMsDefault = 120_000;
const listedMax = 1_000;
const streamNotFound = 10_059;
const noMessage = 10_037;

/** A dead letter. */
export interface DeadLetter {
  /** Its number in the stream of dead letters. */
  id: number;
  workload: string;
  trigger: string;
  /** Subject of the message. */
  subject: string;
  stream: string;
  /** Sequence number of the message in its stream. */
  sequence: number;
  /** Number of its deliveries. */
  deliveries: number;
  /** Time at which its stream took it. */
  time: Date;
  /** Time of its end. */
  diedAt: Date;
  reason: string;
  payload: Uint8Array;
  /** Headers of the message; several values of one have commas between them. */
  headers: Record<string, string>;
}

/** Selects dead letters. */
export interface DeadLetterFilter {
  /** Name of the workload; all when absent. */
  workload?: string | undefined;
  /** The first ones, at most 1,000; 100 when absent. */
  countMax?: number;
}

export class DeadLetterBox {
  readonly #connection: NatsConnection;
  readonly #namespace: string;
  readonly #stream: string;
  #manager: Promise<JetStreamManager> | undefined;

  constructor({ connection, namespace }: Pick<Session, "connection" | "namespace">) {
    this.#connection = connection;
    this.#namespace = namespace;
    this.#stream = deadStreamName(namespace);
  }

  /** Lists the oldest ones first. @throws NexError `connection_failed`, `timeout` */
  async list({ workload, countMax = 100 }: DeadLetterFilter = {}): Promise<DeadLetter[]> {
    const found: DeadLetter[] = [];
    const max = Math.min(countMax, listedMax);
    const next_by_subj = deadSubject(this.#namespace, workload ?? ">");
    for (let seq = 1; found.length < max; ) {
      const message = await this.#find("list the dead letters", { seq, next_by_subj });
      if (message === undefined) break;
      found.push(letterOf(message));
      seq = message.seq + 1;
    }
    return found;
  }

  /** @throws NexError `no_such_dead_letter`, `connection_failed`, `timeout` */
  async get(id: number): Promise<DeadLetter> {
    return letterOf(await this.#demand(id));
  }

  async #demand(id: number): Promise<StoredMsg> {
    const message = await this.#find(`find dead letter ${id}`, { seq: id });
    if (message?.seq === id) return message;
    throw new NexError(
      "no_such_dead_letter",
      `There is no dead letter ${id} in namespace "${this.#namespace}"`,
      {
        advice: "See which there are with: nex dead ls",
      },
    );
  }

  /** Removes one for good. @throws NexError `no_such_dead_letter`, `connection_failed`, `timeout` */
  async drop(id: number): Promise<void> {
    await this.#demand(id);
    await this.#ask(`drop dead letter ${id}`, (manager) =>
      manager.streams.deleteMessage(this.#stream, id, true),
    );
  }

  /**
   * Gives one to its workload again, and removes it once a call has returned.
   *
   * @returns the reply of the call
   * @throws NexError those of a call, and `no_such_dead_letter`
   */
  async retry(id: number, timeoutMs = retryTimeoutMsDefault): Promise<CallReply> {
    const message = await this.#demand(id);
    const workload = message.header.get(deadHeaders.workload);
    const reply = await callWith(
      this.#connection,
      retrySubject(this.#namespace, workload),
      { payload: message.data, headers: message.header, timeoutMs },
      `Cannot retry dead letter ${id} of "${workload}"`,
    );
    await this.drop(id);
    return reply;
  }

  async #find(
    action: string,
    query: { seq: number } | { seq: number; next_by_subj: string },
  ): Promise<StoredMsg | undefined> {
    return await this.#ask(action, async (manager) => {
      try {
        return (await manager.direct.getMessage(this.#stream, query)) ?? undefined;
      } catch (error) {
        // Without dead letters there is no stream.
        const { code } = error as { code?: unknown };
        if (error instanceof JetStreamApiError && (code === streamNotFound || code === noMessage))
          return undefined;
        if (silenceKind(error) === "no-responders") return undefined;
        throw error;
      }
    });
  }

  async #ask<T>(action: string, work: (manager: JetStreamManager) => Promise<T>): Promise<T> {
    try {
      this.#manager ??= jetstreamManager(this.#connection, { timeout: requestMs, checkAPI: false });
      return await work(await this.#manager);
    } catch (cause) {
      if (cause instanceof NexError) throw cause;
      if (silenceKind(cause) === "timeout") {
        throw new NexError("timeout", `Cannot ${action}: JetStream does not answer`, { cause });
      }
      throw notSent(cause, `Cannot ${action}`);
    }
  }
}

function letterOf({ seq, time, header, data }: StoredMsg): DeadLetter {
  const fact = (name: Exclude<keyof typeof deadHeaders, "prefix">): string => header.get(deadHeaders[name]);
  const own = [...header]
    .filter(([name]) => !name.startsWith(deadHeaders.prefix) && !/^nats-/i.test(name))
    .map(([name, values]): [string, string] => [name, values.join(", ")]);
  return {
    id: seq,
    workload: fact("workload"),
    trigger: fact("trigger"),
    subject: fact("subject"),
    stream: fact("stream"),
    sequence: Number(fact("sequence")),
    deliveries: Number(fact("count")),
    time: new Date(fact("time")),
    diedAt: time,
    reason: fact("reason"),
    payload: data,
    headers: Object.fromEntries(own),
  };
}
