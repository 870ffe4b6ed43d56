/** Admission of a STOP: only the issuer that started a workload may end it. Order and texts are the reference's. */
import {
  type BoundToken,
  type Claims,
  checkStopToken,
  isTimely,
  NexError,
  type StopRequest,
} from "@nexengine/protocol/internal";
import { asToken, readToken, type TokenFacts } from "./tokens.ts";

/** What admission knows of the workload that a STOP names. */
export interface StopTarget {
  id: string;
  namespace: string;
  /** The claims with which it was started. */
  claims: Claims;
}

/** A stop that may be carried out. */
export interface AdmittedStop<T> {
  workload: T;
  /** To be remembered as used, in the turn of its admission; absent for a loose one. */
  token: BoundToken | undefined;
}

/** Head of what is said against the token of a stop. */
export const invalidStop = "Invalid stop request";

/**
 * Admits a STOP, or refuses it.
 *
 * @param namespace The subject's third token.
 * @param target The workload of that id on this node, if there is one.
 * @throws NexError with the code and the reference's text.
 */
export function admitStop<T extends StopTarget>(
  namespace: string,
  request: StopRequest,
  target: T | undefined,
  facts: TokenFacts,
): AdmittedStop<T> {
  // From another namespace a workload can't be told from one that does not exist.
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
 * A loose stop token carries no artifact's hash: one that does was made for a deploy. Times and ids are not compared, so
 * that an honest stop in the same second is accepted.
 */
function isCloneOf(stop: Claims, start: Claims): boolean {
  return (
    stop.nats.hash !== undefined || (stop.iss === start.iss && JSON.stringify(stop) === JSON.stringify(start))
  );
}
