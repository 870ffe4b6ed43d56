/** What DEPLOY and STOP ask of a token alike: its signature, its use, and of a bound one that it is used once, in time. */
import {
  alreadyUsed,
  type BoundToken,
  type Claims,
  checkBoundToken,
  decodeClaims,
  isNatsToken,
  NexError,
  type TokenUse,
  tokenUse,
} from "@nexengine/protocol/internal";

/** What admission knows of the node for the sake of tokens. */
export interface TokenFacts {
  nodeId: string;
  /** The reference's loose tokens are refused. */
  requireBoundClaims: boolean;
  /** Was this token accepted before? */
  isUsed(token: BoundToken): boolean;
  nowMs: number;
}

/** A token whose signature and use were checked. */
export interface ReadToken {
  claims: Claims;
  /** `undefined` for the reference's loose ones. */
  bound: BoundToken | undefined;
}

/**
 * Reads a token that must be for one use.
 *
 * @param invalid The head of the messages, as the reference has it.
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

/** Gives what is said against a token the head of its request's refusals. */
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
