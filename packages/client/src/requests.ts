/** Control requests to one node. */
import type { Msg } from "@nats-io/nats-core";
import { NexError } from "@nexengine/protocol/errors";
import { decodeResponse } from "@nexengine/protocol/messages";
import { printable } from "@nexengine/protocol/subjects";
import { isPublicKey } from "@nexengine/protocol/tokens";
import type { z } from "zod";
import { notSent, silenceKind } from "./request-failure.ts";
import type { Session } from "./session.ts";

/** How long a node may take to answer what it knows by heart. */
export const requestTimeoutMs = 2_000;

/** A question to a node, for the messages of its failures. */
export interface NodeQuestion {
  /** Head of the message: what was wanted. */
  action: string;
  nodeId: string;
  timeoutMs: number;
  /** Advice for a node that does not answer in time. */
  whenSilent?: string;
}

/**
 * Asks one node.
 *
 * @throws NexError `node_not_found`, `node_silent`, `answer_unreadable`, `connection_failed`, or what the node answered.
 */
export async function askNode<T>(
  { connection }: Session,
  subject: string,
  body: Uint8Array | string,
  schema: z.ZodType<T>,
  question: NodeQuestion,
): Promise<T> {
  let answer: Msg;
  try {
    answer = await connection.request(subject, body, { timeout: question.timeoutMs });
  } catch (cause) {
    throw requestFailure(cause, question);
  }
  return decodeResponse(answer.data, schema, `node ${question.nodeId}`);
}

/**
 * Is this text a node's id? Anything else would be read as more than one token of a subject, or reach other nodes.
 *
 * @param action Head of the message.
 * @throws NexError `node_not_found`
 */
export function assertNodeId(nodeId: string, action: string): void {
  if (isPublicKey(nodeId, "N")) return;
  throw new NexError("node_not_found", `${action}: "${printable(nodeId)}" is not the id of a node (N…)`, {
    advice: "See which nodes there are with: nex node ls",
  });
}

function requestFailure(cause: unknown, question: NodeQuestion): NexError {
  const { action, nodeId, timeoutMs, whenSilent } = question;
  const ids = { node: nodeId };
  switch (silenceKind(cause)) {
    case "no-responders":
      return new NexError("node_not_found", `${action}: nobody answers as node ${nodeId}`, {
        cause,
        ids,
        advice: "See which nodes there are with: nex node ls",
      });
    case "timeout":
      return new NexError("node_silent", `${action}: node ${nodeId} did not answer within ${timeoutMs} ms`, {
        cause,
        ids,
        advice: whenSilent ?? "The node may be busy or cut off; try again, or wait longer with: --timeout",
      });
    default:
      return notSent(cause, action, ids);
  }
}
