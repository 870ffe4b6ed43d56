/** LAMEDUCK: a node takes no more workloads. For an operator, it also finishes those that it has, and ends. */
import { toNexError } from "@nexengine/protocol/errors";
import { parseJson } from "@nexengine/protocol/formats";
import { functionTypes, type LameDuckRequest, lameDuckRequestSchema } from "@nexengine/protocol/messages";
import { type AdmittedDrain, admitLameDuck, invalidLameDuck } from "../admission/admit-lame-duck.ts";
import type { ActionContext } from "./context.ts";
import { hasExtras } from "./extras.ts";
import { useUp } from "./use-up.ts";

/** The handler of a LAMEDUCK. */
export async function lameDuck(context: ActionContext, body: Uint8Array): Promise<object> {
  const { info } = context;
  try {
    const admitted = admitLameDuck(readRequest(body), context.lameDuckFacts());
    await useUp(context.usedTokens, invalidLameDuck, admitted?.token);
    enter(context, admitted);
    if (admitted !== undefined) context.drain.begin(admitted.deadlineMs);
  } catch (thrown) {
    const { code, message: reason } = toNexError(thrown);
    context.reporter.tell({ type: "lameduck_refused", code, reason });
    throw thrown;
  }
  return { node_id: info.nodeId, success: true };
}

/** Reads the body. That of Go Nex says nothing, whatever it is; one with our member must be valid. */
function readRequest(body: Uint8Array): LameDuckRequest {
  try {
    return parseJson(body, lameDuckRequestSchema, invalidLameDuck);
  } catch (error) {
    if (hasExtras(body)) throw error;
    return {};
  }
}

function enter({ info, workloads, reporter }: ActionContext, drain: AdmittedDrain | undefined): void {
  if (drain !== undefined) reporter.tell({ type: "node_drains", ...drain });
  if (info.lameDuck) return;
  info.lameDuck = true;
  for (const workload of workloads.deployed) {
    if (!functionTypes.has(workload.spec.type)) workload.clearEssential();
  }
  const { nodeId, version } = info;
  reporter.tell({ type: "node_entered_lameduck", nodeId, version, drain });
}
