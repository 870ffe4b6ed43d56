/**
 * The word of a nexus's owner that a node belongs to it. A node's own proof of its xkey says that node and xkey go
 * together; whose node that is, it can't say.
 */
import { type Claims, decodeClaims, encodeClaims, isTimely, tokenUse } from "./claims.ts";
import { NexError } from "./errors.ts";
import { isPublicKey, type Signer } from "./keys.ts";
import { printable } from "./names.ts";

/** What is said of a node. */
export interface EndorsementFacts {
  /** `N…` */
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
 * Reads an endorsement of a node, whoever signed it and whenever.
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
    throw refused(nodeId, "its endorsement is of another node");
  if (claims.nats.nex?.["nexus"] !== nexus) throw refused(nodeId, "its endorsement is for another nexus");
  if (claims.exp === undefined) throw refused(nodeId, "its endorsement does not expire");
  return claims;
}

/** What a client knows of a node, and demands. */
export interface EndorsementCheck {
  nodeId: string;
  /** As the node's answer names it. */
  nexus: string | undefined;
  /** As the node's answer has it. */
  endorsement: string | undefined;
  /** Public key of the nexus's owner. */
  endorser: string;
  /** The nexus that the client wants; any that the endorsement is for when absent. */
  wantedNexus?: string | undefined;
}

/**
 * Checks that a node is endorsed by a key, for the nexus that it says it belongs to, now.
 *
 * @throws NexError `endorsement_invalid`
 */
export function checkEndorsement(
  { nodeId, nexus, endorsement, endorser, wantedNexus }: EndorsementCheck,
  nowMs: number,
): void {
  if (endorsement === undefined) throw refused(nodeId, "nobody has endorsed it");
  if (nexus === undefined) throw refused(nodeId, "it does not say to which nexus it belongs");
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
    advice: "Nothing was sealed or sent; endorse a node of yours with: nex keys endorse",
  });
}
