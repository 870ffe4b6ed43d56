/** Control requests: to one node, and to all of them. */

import { createInbox, type Msg, type NatsConnection } from "@nats-io/nats-core";
import { decodeResponse, errorText, NexError } from "@nexengine/protocol/internal";
import type { z } from "zod";

/** How long answers are awaited. */
export interface ScatterOptions {
  /** The whole wait, in which the first answer must come. */
  timeoutMs?: number;
  /** After the first answer: so long without another one ends the wait. */
  stallMs?: number;
  /** When this settles, a stall ends the wait even before the first answer. */
  stallAfter?: Promise<unknown>;
}

export const requestTimeoutMs = 2_000;
const stallFloorMs = 150;
const stallRoundTrips = 4;
/** More answers than this are not collected. */
const answersMax = 10_000;

/**
 * Asks one node.
 *
 * @throws NexError `node_not_found`, `node_silent`, or what the node answered.
 */
export async function askNode<T>(
  connection: NatsConnection,
  subject: string,
  body: Uint8Array | string,
  schema: z.ZodType<T>,
  what: { action: string; nodeId: string; timeoutMs: number; whenSilent?: string },
): Promise<T> {
  let answer: Msg;
  try {
    answer = await connection.request(subject, body, { timeout: what.timeoutMs });
  } catch (cause) {
    throw requestFailure(cause, what);
  }
  return decodeResponse(answer.data, schema);
}

function requestFailure(
  cause: unknown,
  {
    action,
    nodeId,
    timeoutMs,
    whenSilent,
  }: { action: string; nodeId: string; timeoutMs: number; whenSilent?: string },
): NexError {
  const text = errorText(cause);
  const ids = { node: nodeId };
  if (/no responders/i.test(text)) {
    return new NexError("node_not_found", `${action}: nobody answers as node ${nodeId}`, {
      cause,
      ids,
      advice: "See which nodes there are with: nex node ls",
    });
  }
  if (/timeout/i.test(text)) {
    return new NexError("node_silent", `${action}: node ${nodeId} did not answer within ${timeoutMs} ms`, {
      cause,
      ids,
      advice: whenSilent ?? "The node may be busy or cut off; try again, or wait longer with: --timeout",
    });
  }
  return new NexError("connection_failed", `${action}: ${text}`, { cause, ids });
}

/**
 * Asks all nodes and collects what they answer. Ends early when nobody is there, or when no further answer came for
 * a while; answers that can't be read are passed over, and of two from one node the first counts.
 */
export async function askAll<T extends { node_id: string }>(
  connection: NatsConnection,
  subject: string,
  body: Uint8Array | string,
  schema: z.ZodType<T>,
  options: ScatterOptions = {},
): Promise<T[]> {
  const timeoutMs = options.timeoutMs ?? requestTimeoutMs;
  const stallMs =
    options.stallMs ?? Math.max(stallFloorMs, stallRoundTrips * (await roundTripMs(connection)));
  const answers = new Map<string, T>();
  const done = Promise.withResolvers<void>();
  let stall: NodeJS.Timeout | undefined;
  const inbox = createInbox();
  const subscription = connection.subscribe(inbox, {
    callback: (error, message) => {
      if (error !== null || isNoResponders(message)) return done.resolve();
      const answer = readQuietly(message.data, schema);
      if (answer === undefined || answers.has(answer.node_id)) return;
      answers.set(answer.node_id, answer);
      if (answers.size >= answersMax) return done.resolve();
      clearTimeout(stall);
      stall = setTimeout(done.resolve, stallMs);
    },
  });
  const limit = setTimeout(done.resolve, timeoutMs);
  const stallNow = (): void => {
    stall ??= setTimeout(done.resolve, stallMs);
  };
  options.stallAfter?.then(stallNow, stallNow);
  try {
    connection.publish(subject, body, { reply: inbox });
    await done.promise;
  } finally {
    clearTimeout(limit);
    // Set or not, nothing starts it again.
    clearTimeout(stall);
    stall = limit;
    subscription.unsubscribe();
  }
  return [...answers.values()];
}

function isNoResponders(message: Msg): boolean {
  return message.data.length === 0 && message.headers?.code === 503;
}

function readQuietly<T>(bytes: Uint8Array, schema: z.ZodType<T>): T | undefined {
  try {
    return decodeResponse(bytes, schema);
  } catch {
    return undefined;
  }
}

async function roundTripMs(connection: NatsConnection): Promise<number> {
  try {
    return await connection.rtt();
  } catch {
    return 0;
  }
}
