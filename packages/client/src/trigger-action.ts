/** Pauses triggers of a running function, and lets them go on. */
import { NexError } from "@nexengine/protocol/errors";
import {
  infoResponseSchema,
  nodeOnlyInfo,
  type TriggerAction,
  type TriggerStatus,
  triggerActionResponseSchema,
} from "@nexengine/protocol/messages";
import { infoSubject, printable, triggerSubject } from "@nexengine/protocol/subjects";
import { type Signer, signTriggerToken } from "@nexengine/protocol/tokens";
import { lacksFeature } from "./needs.ts";
import { askNode, assertNodeId, requestTimeoutMs } from "./requests.ts";
import type { Session } from "./session.ts";
import { hasFeature } from "./tokens.ts";

const timeoutMsDefault = 10_000;

/** Options of an operation on a trigger. */
export interface TriggerActionOptions {
  nodeId: string;
  workloadId: string;
  /** The workload's name. */
  name: string;
  /** Name of the trigger. */
  trigger: string;
  /** The key that started the workload. */
  issuer: Signer;
  /** 10,000 when absent. */
  timeoutMs?: number;
}

/** See `NexClient.pauseTrigger` and `resumeTrigger`. */
export async function triggerAction(
  session: Session,
  action: TriggerAction,
  options: TriggerActionOptions,
): Promise<TriggerStatus> {
  const { nodeId, workloadId, name, trigger, issuer, timeoutMs = timeoutMsDefault } = options;
  const { namespace } = session;
  const what = `Cannot ${action} the trigger "${printable(trigger)}" of "${printable(name)}"`;
  assertNodeId(nodeId, what);
  const info = await askNode(session, infoSubject(namespace, nodeId), nodeOnlyInfo, infoResponseSchema, {
    action: what,
    nodeId,
    timeoutMs: Math.min(timeoutMs, requestTimeoutMs),
  });
  if (!hasFeature(info.nex, "trigger-control")) {
    throw lacksFeature(what, "trigger-control", "which its node does not have");
  }
  const facts = { name, workloadId, node: nodeId, namespace, trigger, action };
  const body = JSON.stringify({
    workload_id: workloadId,
    workload_jwt: signTriggerToken(facts, issuer, Date.now()),
    target_node: nodeId,
    ...{ trigger, action },
  });
  const answer = await askNode(
    session,
    triggerSubject(namespace, nodeId),
    body,
    triggerActionResponseSchema,
    {
      action: what,
      nodeId,
      timeoutMs,
    },
  );
  if (answer.id === workloadId && answer.trigger.name === trigger) return answer.trigger;
  throw new NexError("answer_unreadable", `${what}: the node's answer is about something else`);
}
