/** Consumers that the triggers of a stopped workload have left, so that a later deploy goes on where they were. */
import { JetStreamApiError, type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import { NexError } from "@nexengine/protocol/errors";
import { consumerOwnerOf } from "@nexengine/protocol/messages";
import {
  cronStreamName,
  scheduleSubject,
  tickSubject,
  triggerConsumerName,
} from "@nexengine/protocol/subjects";
import { notSent, silenceKind } from "./request-failure.ts";
import type { Session } from "./session.ts";

const requestMs = 5_000;

/** A consumer that a trigger has left. */
export interface LeftTrigger {
  workload: string;
  trigger: string;
  stream: string;
  consumer: string;
  /** Messages that nobody has taken yet. */
  pending: number;
}

/** See `NexClient.leftTriggers`. */
export async function leftTriggers(session: Session, workload: string): Promise<LeftTrigger[]> {
  return await withJetStream(session, `find what triggers of "${workload}" have left`, async (manager) => {
    const found: LeftTrigger[] = [];
    const prefix = triggerConsumerName(session.namespace, workload, "");
    for await (const stream of manager.streams.names()) {
      for await (const { name, num_pending: pending, config } of manager.consumers.list(stream)) {
        const owner = name.startsWith(prefix) ? consumerOwnerOf(config.metadata) : undefined;
        if (owner?.namespace !== session.namespace || owner.workload !== workload) continue;
        found.push({ workload, trigger: owner.trigger, stream, consumer: name, pending });
      }
    }
    return found;
  });
}

/** See `NexClient.forgetTrigger`. */
export async function forgetTrigger(
  session: Session,
  { workload, trigger, stream, consumer }: LeftTrigger,
): Promise<void> {
  const { namespace } = session;
  await withJetStream(session, `forget the trigger ${trigger} of "${workload}"`, async (manager) => {
    if (stream === cronStreamName(namespace)) {
      for (const subjectOf of [scheduleSubject, tickSubject]) {
        await manager.streams.purge(stream, { filter: subjectOf(namespace, workload, trigger) });
      }
    }
    await manager.consumers.delete(stream, consumer);
  });
}

async function withJetStream<T>(
  { connection }: Session,
  action: string,
  work: (manager: JetStreamManager) => Promise<T>,
): Promise<T> {
  try {
    return await work(await jetstreamManager(connection, { timeout: requestMs, checkAPI: false }));
  } catch (cause) {
    if (cause instanceof JetStreamApiError)
      throw new NexError("trigger_failed", `Cannot ${action}: ${cause.message}`, { cause });
    if (silenceKind(cause) === "timeout" || silenceKind(cause) === "no-responders")
      throw new NexError("timeout", `Cannot ${action}: JetStream does not answer`, { cause });
    throw notSent(cause, `Cannot ${action}`);
  }
}
