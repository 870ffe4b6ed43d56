/** Puts a node into lame duck mode, and with an operator's key ends it. */
import {
  type LameDuckResponse,
  lameDuckResponseSchema,
  pingResponseSchema,
} from "@nexengine/protocol/messages";
import { lameDuckSubject, pingNodeSubject } from "@nexengine/protocol/subjects";
import { type Signer, signLameDuckToken } from "@nexengine/protocol/tokens";
import { lacksFeature } from "./needs.ts";
import { askNode, assertNodeId, type NodeQuestion, requestTimeoutMs } from "./requests.ts";
import type { Session } from "./session.ts";
import { knowsBoundTokens } from "./tokens.ts";

/** How a node is to be put into lame duck mode. */
export interface LameDuckOptions {
  /**
   * The key of one of the node's operators: its functions finish the calls that they have, all else goes on until the
   * deadline, and then the node ends. Without it nothing ends.
   */
  operator?: { key: Signer; deadlineMs: number };
  /** 2,000 when absent. */
  timeoutMs?: number;
}

/** See `NexClient.lameDuck`. */
export async function lameDuck(
  session: Session,
  nodeId: string,
  { operator, timeoutMs = requestTimeoutMs }: LameDuckOptions = {},
): Promise<LameDuckResponse> {
  const action = "Cannot enter lame duck mode";
  assertNodeId(nodeId, action);
  const question = { action, nodeId, timeoutMs };
  const body = operator === undefined ? "" : await bodyOf(session, operator, question);
  return askNode(session, lameDuckSubject(nodeId), body, lameDuckResponseSchema, question);
}

/** A node that passes the token over would go on, and nothing takes its lame duck mode back. */
async function bodyOf(
  session: Session,
  { key, deadlineMs }: { key: Signer; deadlineMs: number },
  question: NodeQuestion,
): Promise<string> {
  const { nodeId: node, action } = question;
  const { nex } = await askNode(session, pingNodeSubject(node), "", pingResponseSchema, question);
  if (!knowsBoundTokens(nex)) {
    throw lacksFeature(action, "bound-claims", "the node does not know operators");
  }
  const token = signLameDuckToken({ node, deadlineMs }, key, Date.now());
  return JSON.stringify({ nex: { version: 1, token } });
}
