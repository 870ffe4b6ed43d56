/** Which node a deploy goes to: one that was named, or one of those that bid in an auction. */
import { NexError } from "@nexengine/protocol/errors";
import {
  type InfoResponse,
  infoResponseSchema,
  nodeOnlyInfo,
  type PingResponse,
} from "@nexengine/protocol/messages";
import { infoSubject } from "@nexengine/protocol/subjects";
import { checkXkeyProof } from "@nexengine/protocol/tokens";
import { holdAuction } from "./auction.ts";
import { checkEndorsed, isRefusedAsGoNode, lacksNeed, missingFeature, type Needs } from "./needs.ts";
import { askNode, assertNodeId, requestTimeoutMs } from "./requests.ts";
import type { Session } from "./session.ts";

/** A node whose xkey was checked. */
export interface ChosenNode {
  id: string;
  info: InfoResponse;
}

/**
 * Chooses a node, asks its INFO, and checks that its xkey is its own.
 *
 * @throws NexError `no_node`, `node_not_found`, `node_silent`, `feature_missing`, `xkey_proof_invalid`,
 *   `endorsement_invalid`
 */
export async function chooseNode(session: Session, needs: Needs): Promise<ChosenNode> {
  const action = `Cannot deploy "${needs.name}"`;
  const bid = needs.node === undefined ? await holdAuction(session, needs) : undefined;
  const id = needs.node ?? bid?.node_id ?? "";
  assertNodeId(id, action);
  const info = await askNode(session, infoSubject(session.namespace, id), nodeOnlyInfo, infoResponseSchema, {
    action,
    nodeId: id,
    timeoutMs: requestTimeoutMs,
  });
  checkXkey(id, info, bid);
  checkEndorsed(session, id, {
    ...info,
    nexus: info.nex?.nexus ?? (info.nex === undefined ? bid?.nexus : undefined),
  });
  // No silent downgrade: what a deploy relies on, its node must know.
  const missing = missingFeature(info.nex, needs);
  if (missing !== undefined) {
    throw lacksNeed(needs, missing, "the node does not know it", isRefusedAsGoNode(session, needs));
  }
  return { id, info };
}

/** Nobody seals a secret for a key that may not be the node's. */
function checkXkey(id: string, info: InfoResponse, bid: PingResponse | undefined): void {
  if (bid !== undefined && bid.target_xkey !== info.public_xkey) {
    throw new NexError(
      "xkey_proof_invalid",
      `Cannot trust the xkey of node ${id}: its bid and its info name two`,
      {
        ids: { node: id },
        advice: "The answer may come from an impostor; nothing was sealed or sent",
      },
    );
  }
  // Go nodes have no proof; ours always do, in each of their answers.
  for (const extras of [bid?.nex, info.nex]) {
    if (extras !== undefined) checkXkeyProof(extras.xkey_proof ?? "", id, info.public_xkey, Date.now());
  }
}
