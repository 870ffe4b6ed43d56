/**
 * Dead letters: copies of messages that no call has settled, published into a stream before the message is given up, so
 * that a node which dies in between loses nothing. The server drops a second copy by its message id.
 */
import { type JetStreamManager, RetentionPolicy, StorageType } from "@nats-io/jetstream";
import { headers, type NatsConnection } from "@nats-io/nats-core";
import { MsgHdrsImpl } from "@nats-io/nats-core/internal";
import { NexError } from "@nexengine/protocol/errors";
import { deadHeaders } from "@nexengine/protocol/messages";
import { deadStreamName, deadSubject } from "@nexengine/protocol/subjects";
import { jetStreamTimeMs } from "../../../connections/buckets.ts";
import type { TriggerMessage } from "../trigger-connection.ts";
import { type Delivery, deliveryTimeMs } from "./ack-subject.ts";
import { asTriggerError, codeOf } from "./consumer.ts";

const streamBytesMax = 256 * 1024 * 1024;
const streamMessagesMax = 100_000;
const duplicateWindowNs = 600e9;
/** Error code of JetStream for a stream of that name with another configuration. */
const streamNameInUse = 10_058;
const reasonCharactersMax = 512;
/** Headers that would steer the stream. */
const steering = /^nats-/i;

/** Whose dead letters they are. */
export interface DeadLetterOwner {
  namespace: string;
  workload: string;
  workloadId: string;
  trigger: string;
}

export class DeadLetters {
  readonly #connection: NatsConnection;
  readonly #owner: DeadLetterOwner;
  readonly #subject: string;
  readonly #isOwnStream: boolean;

  /** @param subject Their subject; without it, that of the workload in a stream which is made. */
  constructor(connection: NatsConnection, owner: DeadLetterOwner, subject: string | undefined) {
    this.#connection = connection;
    this.#owner = owner;
    this.#subject = subject ?? deadSubject(owner.namespace, owner.workload);
    this.#isOwnStream = subject === undefined;
  }

  get subject(): string {
    return this.#subject;
  }

  /**
   * Makes sure that a stream takes them.
   *
   * @throws NexError `trigger_source_missing`, `trigger_failed`
   */
  async prepare(manager: JetStreamManager): Promise<void> {
    const what = `Cannot keep dead letters on ${this.#subject}`;
    try {
      if (this.#isOwnStream) await this.#createStream(manager);
      else await manager.streams.find(this.#subject);
    } catch (error) {
      if (!this.#isOwnStream && /no stream matches/i.test(String(error))) {
        throw new NexError("trigger_source_missing", `${what}: no stream has this subject`, {
          advice: 'Make one, leave "dead" away, or say dead=drop',
        });
      }
      throw asTriggerError(error, what);
    }
  }

  async #createStream(manager: JetStreamManager): Promise<void> {
    const { namespace } = this.#owner;
    try {
      await manager.streams.add({
        name: deadStreamName(namespace),
        subjects: [deadSubject(namespace, ">")],
        description: `Dead letters of the namespace ${namespace}`,
        retention: RetentionPolicy.Limits,
        storage: StorageType.File,
        // A full stream refuses, so that messages stay where they are.
        discard: "new" as never,
        max_bytes: streamBytesMax,
        max_msgs: streamMessagesMax,
        duplicate_window: duplicateWindowNs,
        allow_direct: true,
      });
    } catch (error) {
      // Its owner may have changed it.
      if (codeOf(error) !== streamNameInUse) throw error;
    }
  }

  /**
   * Publishes a copy of a message. Returns once the server has it.
   *
   * @throws NexError `trigger_failed`
   */
  async publish(message: TriggerMessage, delivery: Delivery, reason: string): Promise<void> {
    const { bytes, payloadStart, payloadEnd } = message;
    const what = `Cannot keep a dead letter on ${this.#subject}`;
    let reply: string;
    try {
      const answer = await this.#connection.request(this.#subject, bytes.subarray(payloadStart, payloadEnd), {
        timeout: jetStreamTimeMs,
        headers: this.#headersOf(message, delivery, reason),
      });
      reply = answer.string();
    } catch (error) {
      throw asTriggerError(error, what);
    }
    const why = refusalIn(reply);
    if (why !== undefined) throw new NexError("trigger_failed", `${what}: ${why}`);
  }

  #headersOf(message: TriggerMessage, delivery: Delivery, reason: string): MsgHdrsImpl {
    const { bytes, subjectStart, subjectEnd, replyStart, replyEnd, headersStart, payloadStart } = message;
    const { stream, consumer, sequence, timeNs, count } = delivery;
    const made = headers() as MsgHdrsImpl;
    if (payloadStart > headersStart) {
      for (const [name, values] of MsgHdrsImpl.decode(bytes.subarray(headersStart, payloadStart))) {
        if (steering.test(name) || name.startsWith(deadHeaders.prefix)) continue;
        for (const value of values) made.append(name, value);
      }
    }
    made.set("Nats-Msg-Id", `${stream}/${consumer}/${sequence}/${timeNs}`);
    const { workload, workloadId, trigger } = this.#owner;
    const facts: Record<string, string> = {
      [deadHeaders.subject]: bytes.toString("utf8", subjectStart, subjectEnd),
      [deadHeaders.delivery]: bytes.toString("utf8", replyStart, replyEnd),
      [deadHeaders.stream]: stream,
      [deadHeaders.sequence]: String(sequence),
      [deadHeaders.count]: String(count),
      [deadHeaders.time]: new Date(deliveryTimeMs(delivery)).toISOString(),
      [deadHeaders.workload]: workload,
      [deadHeaders.workloadId]: workloadId,
      [deadHeaders.trigger]: trigger,
      [deadHeaders.reason]: reason.replace(/\s+/g, " ").slice(0, reasonCharactersMax),
    };
    for (const [name, value] of Object.entries(facts)) made.set(name, value);
    return made;
  }
}

/** @returns why a stream has not taken a message; `undefined` when it has */
function refusalIn(reply: string): string | undefined {
  try {
    const { stream, error } = JSON.parse(reply) as { stream?: string; error?: { description?: string } };
    if (error !== undefined) return error.description ?? "the stream refuses it";
    return typeof stream === "string" ? undefined : "no stream has answered";
  } catch {
    return "no stream has answered";
  }
}
