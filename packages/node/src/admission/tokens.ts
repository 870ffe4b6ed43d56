/** Checks that DEPLOY, STOP and LAMEDUCK share: signature and use, and for a bound token time and single use. */
import { NexError } from "@nexengine/protocol/errors";
import {
  alreadyUsed,
  type BoundToken,
  type Claims,
  checkBoundToken,
  decodeClaims,
  isNatsToken,
  type TokenUse,
  tokenUse,
} from "@nexengine/protocol/tokens";

/** The node's facts for checking tokens. */
export interface TokenFacts {
  nodeId: string;
  /** Whether legacy tokens are refused. */
  requireBoundClaims: boolean;
  /** Whether this token was accepted before. */
  isUsed(token: BoundToken): boolean;
  nowMs: number;
}

/** A token with checked signature and use. */
export interface ReadToken {
  claims: Claims;
  /** `undefined` for a legacy token. */
  bound: BoundToken | undefined;
}

/**
 * Reads a token for one use.
 *
 * @param invalid Head of the errors, as in Go Nex.
 * @throws NexError `token_invalid`, `token_wrong_use`, `token_unbound`, `token_already_used`
 */
export function readToken(token: string, use: TokenUse, invalid: string, facts: TokenFacts): ReadToken {
  const claims = asToken(invalid, () => decodeClaims(token));
  const found = tokenUse(claims);
  if (found === undefined) {
    if (facts.requireBoundClaims) {
      throw new NexError(
        "token_unbound",
        `${invalid}: the token is not bound to its request, as this node demands`,
        { advice: "Sign with a client that knows the feature bound-claims" },
      );
    }
    // A token for lame duck mode names a node, whose id is a key; a legacy one is refused there in any case.
    if (use !== "lameduck" && isNatsToken(claims)) {
      throw new NexError("token_wrong_use", `${invalid}: the token is one of NATS itself, not of a workload`);
    }
    return { claims, bound: undefined };
  }
  if (found !== use) throw new NexError("token_wrong_use", `${invalid}: the token is one for ${found}`);
  const bound = asToken(invalid, () => checkBoundToken(token, claims, facts.nowMs));
  if (facts.isUsed(bound)) throw withHead(invalid, alreadyUsed());
  return { claims, bound };
}

/** Prefixes the errors of a check with the head of its request. */
export function asToken<T>(invalid: string, check: () => T): T {
  try {
    return check();
  } catch (error) {
    throw error instanceof NexError ? withHead(invalid, error) : error;
  }
}

function withHead(invalid: string, cause: NexError): NexError {
  return new NexError(cause.code, `${invalid}: ${cause.message}`, { cause });
}
