/** Ends a workload. */
import {
  encodeClaims,
  NexError,
  type Signer,
  type StopResponse,
  stopResponseSchema,
  stopSubject,
} from "@nexengine/protocol/internal";
import { askNode, assertNodeId } from "./requests.ts";
import type { Session } from "./session.ts";

/** A node may take so long to end a workload. */
const stopTimeoutMsDefault = 15_000;
/** How the original nodes refuse a stop that was signed in the second of its deploy. */
const refusedInSameSecond = /stop claims appear to be cloned or captured/;

/** What to stop. */
export interface StopOptions {
  nodeId: string;
  workloadId: string;
  /** The workload's name. */
  name: string;
  /** The key that started it. */
  issuer: Signer;
  /** 15,000 when absent. */
  timeoutMs?: number;
}

/** See `NexClient.stop`. */
export async function stop(session: Session, options: StopOptions): Promise<StopResponse> {
  assertNodeId(options.nodeId, `Cannot stop "${options.name}"`);
  const signedAtSecond = nowSeconds();
  try {
    return await sendStop(session, options, signedAtSecond);
  } catch (error) {
    if (!(error instanceof NexError) || !refusedInSameSecond.test(error.message)) throw error;
    // The original nodes take two tokens of one second for one; those of ours don't.
    await secondAfter(signedAtSecond);
    return sendStop(session, options, nowSeconds());
  }
}

function sendStop(session: Session, options: StopOptions, issuedAt: number): Promise<StopResponse> {
  const { nodeId, workloadId, name, issuer } = options;
  const token = encodeClaims({ subject: name, issuedAt }, issuer);
  const body = JSON.stringify({ workload_id: workloadId, workload_jwt: token, target_node: nodeId });
  return askNode(session, stopSubject(session.namespace, nodeId), body, stopResponseSchema, {
    action: `Cannot stop "${name}"`,
    nodeId,
    timeoutMs: options.timeoutMs ?? stopTimeoutMsDefault,
  });
}

/** Waits until the clock has left a second, at most one second. */
async function secondAfter(second: number): Promise<void> {
  const restMs = Math.min(1_000, (second + 1) * 1000 - Date.now());
  if (restMs > 0) await new Promise((resolve) => setTimeout(resolve, restMs));
}

function nowSeconds(): number {
  return Math.floor(Date.now() / 1000);
}
