/** A node's signed statement of its xkey. It keeps clients from sealing for an impostor that answers an auction. */

import { NexError } from "../errors.ts";
import { type Claims, clockLeewaySeconds, decodeClaims, encodeClaims, isTimely, tokenUse } from "./claims.ts";
import { isPublicKey, type Signer } from "./keys.ts";

/** Lifetime of a proof; a node renews it after half of that. */
export const xkeyProofLifeSeconds = 24 * 3600;

/** Signs a proof. */
export function signXkeyProof(node: Signer, xkey: string, nowMs: number): string {
  const issuedAt = Math.floor(nowMs / 1000);
  return encodeClaims(
    {
      subject: node.publicKey,
      issuedAt,
      expires: issuedAt + xkeyProofLifeSeconds,
      data: { nex: { version: 1, use: "xkey-proof", xkey } },
    },
    node,
  );
}

/**
 * Checks that node id, xkey and proof match.
 *
 * @throws NexError `xkey_proof_invalid`
 */
export function checkXkeyProof(proof: string, nodeId: string, xkey: string, nowMs: number): void {
  const refuse = (why: string, cause?: unknown): NexError =>
    new NexError("xkey_proof_invalid", `Cannot trust the xkey of node ${nodeId}: ${why}`, {
      cause,
      ids: { node: nodeId },
      advice: "The answer may come from an impostor; nothing was sealed or sent",
    });
  let claims: Claims;
  try {
    claims = decodeClaims(proof);
  } catch (cause) {
    throw refuse("its proof can't be decoded", cause);
  }
  if (tokenUse(claims) !== "xkey-proof") throw refuse("its proof is a token for something else");
  if (!isPublicKey(nodeId, "N") || claims.iss !== nodeId || claims.sub !== nodeId) {
    throw refuse("its proof is for another node");
  }
  if (claims.nats.nex?.["xkey"] !== xkey) throw refuse("its proof is for another xkey");
  const life = (claims.exp ?? Number.POSITIVE_INFINITY) - (claims.iat ?? 0);
  if (life > xkeyProofLifeSeconds) throw refuse("its proof is valid for too long");
  // A proof issued in the future would be valid for longer than its lifetime.
  if ((claims.iat ?? 0) > nowMs / 1000 + clockLeewaySeconds)
    throw refuse("its proof was issued in the future");
  if (!isTimely(claims, nowMs)) throw refuse("its proof has expired");
}
