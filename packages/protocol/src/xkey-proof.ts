/** A node's signed statement of which xkey is its own, so that nobody seals for whoever answers an auction. */
import { type Claims, clockLeewaySeconds, decodeClaims, encodeClaims, isTimely, tokenUse } from "./claims.ts";
import { NexError } from "./errors.ts";
import { isPublicKey, type Signer } from "./keys.ts";

/** How long a proof holds; a node signs a new one at half of it. */
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
 * Checks that node id, xkey and proof agree.
 *
 * @throws NexError `xkey_proof_invalid`
 */
export function checkXkeyProof(proof: string, nodeId: string, xkey: string, nowMs: number): void {
  const refuse = (why: string, cause?: unknown): NexError =>
    new NexError("xkey_proof_invalid", `Cannot trust the xkey of node ${nodeId}: ${why}`, {
      cause,
      ids: { node: nodeId },
      advice: "Whoever answered may not be that node; nothing was sealed or sent",
    });
  let claims: Claims;
  try {
    claims = decodeClaims(proof);
  } catch (cause) {
    throw refuse("its proof can't be decoded", cause);
  }
  if (tokenUse(claims) !== "xkey-proof") throw refuse("its proof is a token for something else");
  if (!isPublicKey(nodeId, "N") || claims.iss !== nodeId || claims.sub !== nodeId) {
    throw refuse("its proof is of another node");
  }
  if (claims.nats.nex?.["xkey"] !== xkey) throw refuse("its proof is of another xkey");
  const life = (claims.exp ?? Number.POSITIVE_INFINITY) - (claims.iat ?? 0);
  if (life > xkeyProofLifeSeconds) throw refuse("its proof holds too long");
  // Otherwise a proof made ahead of time would hold for years.
  if ((claims.iat ?? 0) > nowMs / 1000 + clockLeewaySeconds)
    throw refuse("its proof is dated into the future");
  if (!isTimely(claims, nowMs)) throw refuse("its proof has expired");
}
