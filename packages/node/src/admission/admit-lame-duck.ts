/** Admission of a LAMEDUCK: everybody may ask a node to take no more workloads; an operator may end it. */
import {
  type BoundToken,
  checkLameDuckToken,
  type LameDuckRequest,
  NexError,
} from "@nexengine/protocol/internal";
import { asToken, readToken, type TokenFacts } from "./tokens.ts";

/** Head of what is said against a LAMEDUCK, as the reference has it. */
export const invalidLameDuck = "Failed to enter lame duck mode";

/** What admission knows of the node. */
export interface LameDuckFacts extends TokenFacts {
  /** Public keys. */
  operators: readonly string[];
  requiresOperator: boolean;
}

/** An operator's will. */
export interface AdmittedDrain {
  operator: string;
  /** How long workloads have to finish. */
  deadlineMs: number;
  /** To be remembered as used, in the turn of its admission. */
  token: BoundToken;
}

/**
 * Admits a LAMEDUCK, or refuses it.
 *
 * @returns `undefined` for the reference's form, which ends nothing.
 * @throws NexError with the code and the reference's text.
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
