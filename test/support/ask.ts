/** Control requests as bytes, and what comes back, silence included. */
import { setTimeout as delay } from "node:timers/promises";
import { createInbox, type NatsConnection } from "@nats-io/nats-core";
import { infoSubject } from "@nexengine/protocol/subjects";
import { z } from "zod";

/** Who is asked, and by which connection. */
export interface Asked {
  connection: NatsConnection;
  nodeId: string;
  /** A node that does not take requests up in order may still answer so long after a later one. */
  lateMs?: number;
}

const envelopeSchema = z.object({
  type: z.string(),
  data: z.unknown(),
  error: z.string().optional(),
  nex: z.object({ version: z.literal(1), code: z.string() }).optional(),
});
/** The envelope of every answer. */
export type Envelope = z.infer<typeof envelopeSchema>;

const answerTimeoutMs = 20_000;

/** Asks what must be answered. */
export async function ask(
  { connection }: Asked,
  subject: string,
  body: Uint8Array | string = "",
): Promise<Envelope> {
  const reply = await connection.request(subject, body, { timeout: answerTimeoutMs });
  return envelopeSchema.parse(reply.json());
}

/**
 * Asks what may be met with silence: a node of ours takes requests up in order, so an INFO that is sent after has its
 * answer after.
 *
 * @returns the answer of the node, of others that answer too none; `undefined` for silence.
 */
export async function askQuietly(
  { connection, nodeId, lateMs = 0 }: Asked,
  subject: string,
  body: Uint8Array | string = "",
): Promise<Envelope | undefined> {
  const inbox = createInbox();
  const answers: Envelope[] = [];
  const subscription = connection.subscribe(inbox, {
    callback: (error, message) => {
      if (error === null && message.data.length > 0) answers.push(envelopeSchema.parse(message.json()));
    },
  });
  try {
    connection.publish(subject, body, { reply: inbox });
    await connection.request(infoSubject("default", nodeId), "", { timeout: answerTimeoutMs });
    if (lateMs > 0) await delay(lateMs);
    return answers.find(({ data }) => nodeOf(data) === undefined || nodeOf(data) === nodeId);
  } finally {
    subscription.unsubscribe();
  }
}

function nodeOf(data: unknown): unknown {
  return typeof data === "object" && data !== null && "node_id" in data ? data.node_id : undefined;
}
