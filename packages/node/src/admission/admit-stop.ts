/** Admission of a STOP: only the issuer of a workload may stop it. Order and texts are those of Go Nex. */
import { NexError } from "@nexengine/protocol/errors";
import type { StopRequest } from "@nexengine/protocol/messages";
import { type BoundToken, type Claims, checkStopToken, isTimely } from "@nexengine/protocol/tokens";
import { asToken, readToken, type TokenFacts } from "./tokens.ts";

/** The workload that a STOP names, as far as admission needs it. */
export interface StopTarget {
  id: string;
  namespace: string;
  /** Claims of its deploy. */
  claims: Claims;
}

/** An admitted stop. */
export interface AdmittedStop<T> {
  workload: T;
  /** The token to remember as used, in the turn of the admission; absent for a legacy one. */
  token: BoundToken | undefined;
}

/** Head of the errors about the token of a stop. */
export const invalidStop = "Invalid stop request";

/**
 * Admits a STOP, or refuses it.
 *
 * @param namespace Third token of the subject.
 * @param target The workload with that id on this node, if there is one.
 * @throws NexError with the code, and the text of Go Nex.
 */
export function admitStop<T extends StopTarget>(
  namespace: string,
  request: StopRequest,
  target: T | undefined,
  facts: TokenFacts,
): AdmittedStop<T> {
  // A workload of another namespace looks like one that does not exist.
  if (target === undefined || target.namespace !== namespace)
    throw new NexError("no_such_workload", "No such workload");
  const { claims, bound } = readToken(request.workload_jwt ?? "", "stop", invalidStop, facts);
  if (bound === undefined && isCloneOf(claims, target.claims)) {
    throw new NexError(
      "stop_token_cloned",
      `${invalidStop}: stop claims appear to be cloned or captured from the original start claims. Rejecting for security reasons`,
    );
  }
  if (claims.sub !== target.claims.sub) {
    throw new NexError(
      "stop_subject_mismatch",
      `${invalidStop}: stop claims subject does not match original start claims subject`,
    );
  }
  if (claims.iss !== target.claims.iss) {
    throw new NexError(
      "stop_issuer_mismatch",
      `${invalidStop}: the only entity allowed to terminate a workload is the issuer that originally started it`,
    );
  }
  if (bound !== undefined) {
    const check = { workloadId: target.id, node: facts.nodeId, namespace };
    asToken(invalidStop, () => checkStopToken(claims, check));
  } else if (!isTimely(claims, facts.nowMs)) {
    throw new NexError("token_invalid", `${invalidStop}: standard claims within JWT are not valid`);
  }
  return { workload: target, token: bound };
}

/**
 * A legacy stop token has no hash of an artifact; one that has was made for a deploy. Times and ids are not compared, so
 * that an honest stop in the same second is accepted.
 */
function isCloneOf(stop: Claims, start: Claims): boolean {
  return (
    stop.nats.hash !== undefined || (stop.iss === start.iss && JSON.stringify(stop) === JSON.stringify(start))
  );
}
