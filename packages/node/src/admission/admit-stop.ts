/** Admission of a STOP: only the issuer that started a workload may end it. Order and texts are the reference's. */
import {
  type Claims,
  decodeClaims,
  errorText,
  isTimely,
  NexError,
  type StopRequest,
  tokenUse,
} from "@nexengine/protocol/internal";

/** What admission knows of the workload that a STOP names. */
export interface StopTarget {
  namespace: string;
  /** The claims with which it was started. */
  claims: Claims;
}

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
  nowMs: number,
): T {
  // From another namespace a workload can't be told from one that does not exist.
  if (target === undefined || target.namespace !== namespace)
    throw new NexError("no_such_workload", "No such workload");
  const token = request.workload_jwt ?? "";
  const claims = decode(token);
  const use = tokenUse(claims);
  if (use !== undefined && use !== "stop") {
    throw new NexError("token_wrong_use", `Invalid stop request: the token is one for ${use}`);
  }
  if (isCloneOf(claims, target.claims)) {
    throw new NexError(
      "stop_token_cloned",
      "Invalid stop request: stop claims appear to be cloned or captured from the original start claims. Rejecting for security reasons",
    );
  }
  if (claims.sub !== target.claims.sub) {
    throw new NexError(
      "stop_subject_mismatch",
      "Invalid stop request: stop claims subject does not match original start claims subject",
    );
  }
  if (claims.iss !== target.claims.iss) {
    throw new NexError(
      "stop_issuer_mismatch",
      "Invalid stop request: the only entity allowed to terminate a workload is the issuer that originally started it",
    );
  }
  if (!isTimely(claims, nowMs)) {
    throw new NexError("token_invalid", "Invalid stop request: standard claims within JWT are not valid");
  }
  return target;
}

/**
 * A stop token carries no artifact's hash: one that does was made for a deploy. Times and ids are not compared, so
 * that an honest stop in the same second is accepted.
 */
function isCloneOf(stop: Claims, start: Claims): boolean {
  return (
    stop.nats.hash !== undefined || (stop.iss === start.iss && JSON.stringify(stop) === JSON.stringify(start))
  );
}

function decode(token: string): Claims {
  try {
    return decodeClaims(token);
  } catch (cause) {
    throw new NexError("token_invalid", `Invalid stop request: ${errorText(cause)}`, { cause });
  }
}
