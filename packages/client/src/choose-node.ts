/** Which node a deploy goes to: one that was named, or one of those that bid in an auction. */
import {
  type AuctionRequest,
  auctionSubject,
  checkXkeyProof,
  type InfoResponse,
  infoResponseSchema,
  infoSubject,
  isPublicKey,
  type Limits,
  NexError,
  type NodeExtras,
  type PingResponse,
  pingResponseSchema,
  pingSubject,
  type Tags,
  type WorkloadType,
} from "@nexengine/protocol/internal";
import { askNode, assertNodeId, requestTimeoutMs } from "./requests.ts";
import { askAll } from "./scatter.ts";
import type { Session } from "./session.ts";

/** What a workload needs of its node. */
export interface Needs {
  /** The workload's, for messages. */
  name: string;
  /** The node that was named; an auction chooses one when absent. */
  node: string | undefined;
  type: WorkloadType;
  /** Go's name of the processor, where the artifact needs one. */
  arch: string | undefined;
  tags: Tags | undefined;
  /** Features that the deploy relies on. */
  features: readonly string[];
  limits: Limits | undefined;
}

/** A node whose xkey was checked. */
export interface ChosenNode {
  id: string;
  info: InfoResponse;
}

/**
 * Chooses a node, asks its INFO, and checks that its xkey is its own.
 *
 * @throws NexError `no_node`, `node_not_found`, `node_silent`, `feature_missing`, `xkey_proof_invalid`
 */
export async function chooseNode(session: Session, needs: Needs): Promise<ChosenNode> {
  const action = `Cannot deploy "${needs.name}"`;
  const bid = needs.node === undefined ? await auction(session, needs) : undefined;
  const id = needs.node ?? bid?.node_id ?? "";
  assertNodeId(id, action);
  const info = await askNode(session, infoSubject(session.namespace, id), "", infoResponseSchema, {
    action,
    nodeId: id,
    timeoutMs: requestTimeoutMs,
  });
  checkXkey(id, info, bid);
  // No silent downgrade: what a deploy relies on, its node must know.
  const missing = missingFeature(info.nex, needs);
  if (missing !== undefined) throw lacksFeature(action, missing, "the node does not know it");
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
        advice: "Whoever answered may not be that node; nothing was sealed or sent",
      },
    );
  }
  // The reference's nodes have no proof; ours always do, in each of their answers.
  for (const extras of [bid?.nex, info.nex]) {
    if (extras !== undefined) checkXkeyProof(extras.xkey_proof ?? "", id, info.public_xkey, Date.now());
  }
}

async function auction(session: Session, needs: Needs): Promise<PingResponse> {
  const request: AuctionRequest = {
    ...(needs.arch === undefined ? {} : { arch: needs.arch, os: "linux" }),
    ...(needs.tags === undefined ? {} : { tags: needs.tags }),
    workload_types: [needs.type],
    ...(needs.limits === undefined ? {} : { nex: { version: 1, limits: needs.limits } }),
  };
  // Asked at the same time who is there at all: once they have answered, a bid that has not come will not.
  const pings = askAll(session, pingSubject, "", pingResponseSchema);
  pings.catch(() => undefined);
  const body = JSON.stringify(request);
  const answers = await askAll(session, auctionSubject, body, pingResponseSchema, { stallAfter: pings });
  const bids = answers.filter(({ node_id }) => isPublicKey(node_id, "N"));
  const fitting = bids.filter((bid) => missingFeature(bid.nex, needs) === undefined);
  const chosen = fitting[Math.floor(Math.random() * fitting.length)];
  if (chosen !== undefined) return chosen;
  const [refused] = bids;
  if (refused !== undefined) {
    const missing = missingFeature(refused.nex, needs) ?? "";
    const nobody =
      bids.length === 1
        ? "the one node that bids does not"
        : `none of the ${bids.length} nodes that bid does`;
    throw lacksFeature(`Cannot deploy "${needs.name}"`, missing, `${nobody} know it`);
  }
  throw noBid(needs, (await pings).length);
}

function noBid(needs: Needs, nodes: number): NexError {
  if (nodes === 0) {
    return new NexError("no_node", `Cannot deploy "${needs.name}": there is no node in this nexus`, {
      advice: "Start one with: nex node up, or start everything with: nex up",
    });
  }
  const who = nodes === 1 ? "the one node there is does not" : `none of the ${nodes} nodes does`;
  return new NexError("no_node", `No node accepts "${needs.name}": asked for ${asked(needs)}, ${who}`, {
    advice: "See what the nodes offer with: nex node ls --full",
  });
}

function asked({ type, arch, tags, limits }: Needs): string {
  return [
    `type ${type}`,
    ...(arch === undefined ? [] : [`linux/${arch}`]),
    ...Object.entries(tags ?? {}).map(([name, value]) => `tag ${name}=${value}`),
    ...Object.entries(limits ?? {}).map(([name, value]) => `${name} ${JSON.stringify(value)}`),
  ].join(", ");
}

function missingFeature(extras: NodeExtras | undefined, { features }: Needs): string | undefined {
  return features.find((feature) => !extras?.features?.includes(feature));
}

function lacksFeature(action: string, feature: string, why: string): NexError {
  return new NexError("feature_missing", `${action}: it needs "${feature}", ${why}`, {
    advice: "Nothing was sent; choose another node, or leave the option away",
  });
}
