/** Users of routes with accounts: user JWTs of NATS, sent as bearer tokens. */
import { clockLeewaySeconds, decodeClaims, isPublicKey } from "@nexengine/protocol/tokens";

/** Maximum number of verified tokens that are remembered. */
const verdictsMax = 8_192;
/** Longer tokens are not read. */
const tokenCharactersMax = 8_192;

interface Verdict {
  issuer: string;
  user: string;
  expiresMs: number;
  notBeforeMs: number;
}

/** Verifies tokens, and remembers those that are valid, because a signature costs more than a request. */
export class BearerTokens {
  readonly #verdicts = new Map<string, Verdict>();

  /**
   * @param authorization The header of a request.
   * @param accounts Public keys, one of which must have signed. A signing key of an account counts only when it is listed.
   * @returns the user's public key; `undefined` when the request may not pass.
   */
  userOf(authorization: string | undefined, accounts: readonly string[], nowMs: number): string | undefined {
    const token = /^bearer +([A-Za-z0-9_.-]+)$/i.exec(authorization ?? "")?.[1];
    if (token === undefined || token.length > tokenCharactersMax) return undefined;
    let verdict = this.#verdicts.get(token);
    if (verdict === undefined) {
      // Only a token that names a listed issuer is worth a verification.
      if (!accounts.includes(claimedIssuer(token))) return undefined;
      verdict = verify(token);
      if (verdict === undefined || verdict.expiresMs <= nowMs) return undefined;
      if (this.#verdicts.size >= verdictsMax) this.#forget(nowMs);
      this.#verdicts.set(token, verdict);
    }
    if (verdict.expiresMs <= nowMs) {
      this.#verdicts.delete(token);
      return undefined;
    }
    return accounts.includes(verdict.issuer) && verdict.notBeforeMs <= nowMs ? verdict.user : undefined;
  }

  /** Makes room: by the expired ones, else by the oldest half. */
  #forget(nowMs: number): void {
    for (const [token, { expiresMs }] of this.#verdicts) if (expiresMs <= nowMs) this.#verdicts.delete(token);
    if (this.#verdicts.size < verdictsMax) return;
    for (const token of this.#verdicts.keys()) {
      if (this.#verdicts.size <= verdictsMax / 2) return;
      this.#verdicts.delete(token);
    }
  }
}

/** The issuer that a token names. Nothing of it is verified. */
function claimedIssuer(token: string): string {
  try {
    const claims: unknown = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());
    const { iss } = claims as { iss?: unknown };
    return typeof iss === "string" ? iss : "";
  } catch {
    return "";
  }
}

function verify(token: string): Verdict | undefined {
  try {
    const { iss, sub, exp, nbf, nats } = decodeClaims(token);
    const isBearer = nats.type === "user" && nats["bearer_token"] === true;
    if (!isBearer || !isPublicKey(iss, "A") || !isPublicKey(sub, "U") || exp === undefined) return undefined;
    return {
      issuer: iss,
      user: sub,
      expiresMs: exp * 1000,
      notBeforeMs: ((nbf ?? 0) - clockLeewaySeconds) * 1000,
    };
  } catch {
    return undefined;
  }
}
