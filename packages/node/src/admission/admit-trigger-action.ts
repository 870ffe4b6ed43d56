/** Admission of a TRIGGER: only the issuer of a workload may pause its triggers or let them go on. */
import { NexError } from "@nexengine/protocol/errors";
import type { TriggerActionRequest } from "@nexengine/protocol/messages";
import { type BoundToken, checkTriggerToken } from "@nexengine/protocol/tokens";
import type { StopTarget } from "./admit-stop.ts";
import { asToken, readToken, type TokenFacts } from "./tokens.ts";

/** Head of the errors about the token of an operation on a trigger. */
export const invalidTriggerAction = "Invalid trigger request";

/**
 * Admits a TRIGGER, or refuses it.
 *
 * @param namespace Third token of the subject.
 * @param target The workload with that id on this node, if there is one.
 * @returns the token to remember as used, in the turn of the admission
 * @throws NexError
 */
export function admitTriggerAction(
  namespace: string,
  request: TriggerActionRequest,
  target: StopTarget | undefined,
  facts: TokenFacts,
): BoundToken {
  // A workload of another namespace looks like one that does not exist.
  if (target === undefined || target.namespace !== namespace)
    throw new NexError("no_such_workload", "No such workload");
  const { claims, bound } = readToken(request.workload_jwt, "trigger", invalidTriggerAction, facts);
  if (bound === undefined) {
    throw new NexError("token_unbound", `${invalidTriggerAction}: the token is not bound to its request`);
  }
  if (claims.sub !== target.claims.sub) {
    throw new NexError("stop_subject_mismatch", `${invalidTriggerAction}: the token names another workload`);
  }
  if (claims.iss !== target.claims.iss) {
    throw new NexError(
      "stop_issuer_mismatch",
      `${invalidTriggerAction}: only the issuer that started the workload may change its triggers`,
    );
  }
  const { trigger, action } = request;
  const check = { workloadId: target.id, node: facts.nodeId, namespace, trigger, action };
  asToken(invalidTriggerAction, () => checkTriggerToken(claims, check));
  return bound;
}
