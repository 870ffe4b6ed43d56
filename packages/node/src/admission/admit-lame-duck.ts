/** Admission of a LAMEDUCK: anybody may ask a node to take no more workloads; an operator may end it. */
import { NexError } from "@nexengine/protocol/errors";
import type { LameDuckRequest } from "@nexengine/protocol/messages";
import { type BoundToken, checkLameDuckToken } from "@nexengine/protocol/tokens";
import { asToken, readToken, type TokenFacts } from "./tokens.ts";

/** Head of the errors, as in Go Nex. */
export const invalidLameDuck = "Failed to enter lame duck mode";

/** The node's facts for admission. */
export interface LameDuckFacts extends TokenFacts {
  /** Public keys. */
  operators: readonly string[];
  requiresOperator: boolean;
}

/** An admitted request of an operator. */
export interface AdmittedDrain {
  operator: string;
  /** Time that workloads have to finish. */
  deadlineMs: number;
  /** The token to remember as used, in the turn of the admission. */
  token: BoundToken;
}

/**
 * Admits a LAMEDUCK, or refuses it.
 *
 * @returns `undefined` for the form of Go Nex, which ends nothing.
 * @throws NexError with the code, and the text of Go Nex.
 */
export function admitLameDuck(request: LameDuckRequest, facts: LameDuckFacts): AdmittedDrain | undefined {
  if (request.nex === undefined) {
    if (!facts.requiresOperator) return undefined;
    throw new NexError("operator_required", `${invalidLameDuck}: this node demands an operator's token`);
  }
  const { claims, bound } = readToken(request.nex.token, "lameduck", invalidLameDuck, facts);
  if (bound === undefined) {
    throw new NexError("token_unbound", `${invalidLameDuck}: the token is not one for lameduck`);
  }
  if (!facts.operators.includes(claims.iss)) {
    throw new NexError(
      "operator_required",
      `${invalidLameDuck}: ${claims.iss} is not one of this node's operators`,
    );
  }
  const deadlineMs = asToken(invalidLameDuck, () => checkLameDuckToken(claims, facts.nodeId));
  return { operator: claims.iss, deadlineMs, token: bound };
}
