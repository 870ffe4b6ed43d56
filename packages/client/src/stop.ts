/** Ends a workload. */
import { NexError } from "@nexengine/protocol/errors";
import {
  infoResponseSchema,
  nodeOnlyInfo,
  type StopResponse,
  stopResponseSchema,
} from "@nexengine/protocol/messages";
import { infoSubject, stopSubject } from "@nexengine/protocol/subjects";
import type { Signer } from "@nexengine/protocol/tokens";
import { goNodeRefused, lacksFeature } from "./needs.ts";
import { askNode, assertNodeId, requestTimeoutMs } from "./requests.ts";
import type { Session } from "./session.ts";
import { boundStopToken, knowsBoundTokens, legacyStopToken, nowSeconds } from "./tokens.ts";

/** A node may take so long to end a workload. */
const stopTimeoutMsDefault = 15_000;
/** How Go nodes refuse a stop that was signed in the second of its deploy. */
const refusedInSameSecond = /stop claims appear to be cloned or captured/;

/** Options of a stop. */
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
  const { nodeId, workloadId, name, issuer, timeoutMs = stopTimeoutMsDefault } = options;
  const action = `Cannot stop "${name}"`;
  assertNodeId(nodeId, action);
  const { namespace } = session;
  const info = await askNode(session, infoSubject(namespace, nodeId), nodeOnlyInfo, infoResponseSchema, {
    action,
    nodeId,
    timeoutMs: Math.min(timeoutMs, requestTimeoutMs),
  });
  const send = (token: string): Promise<StopResponse> =>
    askNode(
      session,
      stopSubject(namespace, nodeId),
      JSON.stringify({ workload_id: workloadId, workload_jwt: token, target_node: nodeId }),
      stopResponseSchema,
      { action, nodeId, timeoutMs },
    );
  if (!knowsBoundTokens(info.nex)) {
    // A legacy token that was captured would stop other workloads too.
    if (session.endorser !== undefined)
      throw lacksFeature(action, "bound-claims", "the node does not know it");
    if (session.allowGoNodes !== true) throw goNodeRefused(action);
    session.onFallback?.({ action: "stop", name, nodeId });
    return stopWithLegacyToken(options, send);
  }
  return send(boundStopToken({ name, workloadId, node: nodeId, namespace }, issuer));
}

/** Go nodes take two tokens of one second for one. */
async function stopWithLegacyToken(
  { name, issuer }: StopOptions,
  send: (token: string) => Promise<StopResponse>,
): Promise<StopResponse> {
  const signedAtSecond = nowSeconds();
  try {
    return await send(legacyStopToken(name, issuer, signedAtSecond));
  } catch (error) {
    if (!(error instanceof NexError) || !refusedInSameSecond.test(error.message)) throw error;
    await secondAfter(signedAtSecond);
    return send(legacyStopToken(name, issuer, nowSeconds()));
  }
}

/** Waits until the clock has left a second, at most one second. */
async function secondAfter(second: number): Promise<void> {
  const restMs = Math.min(1_000, (second + 1) * 1000 - Date.now());
  if (restMs > 0) await new Promise((resolve) => setTimeout(resolve, restMs));
}
