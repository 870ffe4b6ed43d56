/**
 * An endorsement is a statement by the owner of a nexus that a node belongs to it. An xkey proof only shows that node
 * and xkey belong together, not who runs the node.
 */

import { NexError } from "../errors.ts";
import { printable } from "../subjects/names.ts";
import { type Claims, decodeClaims, encodeClaims, isTimely, tokenUse } from "./claims.ts";
import { isPublicKey, type Signer } from "./keys.ts";

/** Content of an endorsement. */
export interface EndorsementFacts {
  /** Node id, `N…`. */
  nodeId: string;
  nexus: string;
}

/** Signs an endorsement with a key of the nexus's owner. */
export function signEndorsement(
  { nodeId, nexus }: EndorsementFacts,
  owner: Signer,
  lifeSeconds: number,
  nowMs: number,
): string {
  const issuedAt = Math.floor(nowMs / 1000);
  const data = { nex: { version: 1, use: "endorsement", nexus } };
  return encodeClaims({ subject: nodeId, issuedAt, expires: issuedAt + lifeSeconds, data }, owner);
}

/**
 * Parses an endorsement of a node, regardless of its issuer and expiry.
 *
 * @throws NexError `endorsement_invalid`
 */
export function readEndorsement(endorsement: string, { nodeId, nexus }: EndorsementFacts): Claims {
  let claims: Claims;
  try {
    claims = decodeClaims(endorsement);
  } catch (cause) {
    throw refused(nodeId, "its endorsement can't be decoded", cause);
  }
  if (tokenUse(claims) !== "endorsement")
    throw refused(nodeId, "its endorsement is a token for something else");
  if (!isPublicKey(nodeId, "N") || claims.sub !== nodeId)
    throw refused(nodeId, "its endorsement is for another node");
  if (claims.nats.nex?.["nexus"] !== nexus) throw refused(nodeId, "its endorsement is for another nexus");
  if (claims.exp === undefined) throw refused(nodeId, "its endorsement does not expire");
  return claims;
}

/** Node data to check, and the client's requirements. */
export interface EndorsementCheck {
  nodeId: string;
  /** Nexus in the node's answer. */
  nexus: string | undefined;
  /** Endorsement in the node's answer. */
  endorsement: string | undefined;
  /** Public key of the nexus's owner. */
  endorser: string;
  /** Nexus that the client requires. When absent, any nexus that the endorsement covers is accepted. */
  wantedNexus?: string | undefined;
}

/**
 * Checks that a key endorses a node for the node's nexus at the current time.
 *
 * @throws NexError `endorsement_invalid`
 */
export function checkEndorsement(
  { nodeId, nexus, endorsement, endorser, wantedNexus }: EndorsementCheck,
  nowMs: number,
): void {
  if (endorsement === undefined) throw refused(nodeId, "nobody has endorsed it");
  if (nexus === undefined) throw refused(nodeId, "it does not name its nexus");
  const claims = readEndorsement(endorsement, { nodeId, nexus });
  if (wantedNexus !== undefined && nexus !== wantedNexus) {
    throw refused(nodeId, `it is endorsed for nexus "${printable(nexus)}", not for "${wantedNexus}"`);
  }
  if (claims.iss !== endorser) throw refused(nodeId, "its endorsement is by another key");
  if (!isTimely(claims, nowMs)) throw refused(nodeId, "its endorsement has expired");
}

function refused(nodeId: string, why: string, cause?: unknown): NexError {
  return new NexError("endorsement_invalid", `Cannot trust node ${nodeId}: ${why}`, {
    cause,
    ids: { node: nodeId },
    advice: "Nothing was sealed or sent; endorse your node with: nex keys endorse",
  });
}
