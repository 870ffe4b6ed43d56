/** Requirements of a deploy for the node that it goes to. */
import { NexError } from "@nexengine/protocol/errors";
import type { Feature, Limits, NodeExtras, Tags, WorkloadType } from "@nexengine/protocol/messages";
import { printable } from "@nexengine/protocol/subjects";
import { checkEndorsement } from "@nexengine/protocol/tokens";
import type { Session } from "./session.ts";

/** Requirements of a workload for its node. */
export interface Needs {
  /** The workload's, for messages. */
  name: string;
  /** The node that was named; an auction chooses one when absent. */
  node: string | undefined;
  type: WorkloadType;
  /** Go's name of the processor, where the artifact needs one. */
  arch: string | undefined;
  tags: Tags | undefined;
  /** Does it bring connections along, which only go sealed? */
  perRequestConnections?: boolean;
  /** Features that the deploy relies on. */
  features: readonly string[];
  limits: Limits | undefined;
  /** Public key of who signs. */
  issuer?: string;
  /** Size of the artifact, where it is known. */
  artifactBytes?: number | undefined;
}

/** The features that keep what is sent from whoever it is not for. */
const trustedFeatures: readonly Feature[] = ["bound-claims", "sealed-request"];

/**
 * The features without which nothing is sent: both where a secret or an endorser is at stake, bound tokens in any case
 * unless the client was told to allow Go nodes.
 */
export function trustNeeded(session: Session, perRequestConnections: boolean): readonly Feature[] {
  if (perRequestConnections || session.endorser !== undefined) return trustedFeatures;
  return session.allowGoNodes === true ? [] : ["bound-claims"];
}

/** @returns the first feature of those that a deploy relies on which a node does not have. */
export function missingFeature(extras: NodeExtras | undefined, { features }: Needs): string | undefined {
  return features.find((feature) => !extras?.features?.includes(feature));
}

/** The members of a node's answer that tell whether it is endorsed. */
export interface EndorsedAnswer {
  nexus?: string | undefined;
  nex?: NodeExtras | undefined;
}

/**
 * Checks that a node is endorsed, and belongs to the nexus, where the client was given an endorser's key or a nexus.
 *
 * @throws NexError `endorsement_invalid`
 */
export function checkEndorsed(
  { endorser, nexus: wanted }: Pick<Session, "endorser" | "nexus">,
  nodeId: string,
  answer: EndorsedAnswer,
): void {
  const { nexus = answer.nex?.nexus, nex } = answer;
  if (endorser !== undefined) {
    const { endorsement } = nex ?? {};
    checkEndorsement({ nodeId, nexus, endorsement, endorser, wantedNexus: wanted }, Date.now());
  } else if (wanted !== undefined && nexus !== wanted) {
    const said =
      nexus === undefined ? "it does not name its nexus" : `it belongs to nexus "${printable(nexus)}"`;
    throw new NexError("endorsement_invalid", `Cannot trust node ${nodeId}: ${said}, not to "${wanted}"`, {
      ids: { node: nodeId },
      advice: "Nothing was sealed or sent; see which nodes there are with: nex node ls --full",
    });
  }
}

/**
 * @param missing What `missingFeature` has found.
 * @param isGoNode Would `allowGoNodes` help?
 */
export function lacksNeed(
  { name, perRequestConnections }: Needs,
  missing: string,
  why: string,
  isGoNode = false,
): NexError {
  const isTrust = (trustedFeatures as readonly string[]).includes(missing);
  const action = `Cannot deploy "${name}"`;
  if (isTrust && isGoNode) return goNodeRefused(action);
  if (!perRequestConnections || !isTrust) return lacksFeature(action, missing, why);
  return lacksFeature(`${action}: per-request connections are sent sealed or not at all`, missing, why);
}

/** The refusal of what a node that shows no feature of ours would need. */
export function goNodeRefused(action: string): NexError {
  return new NexError(
    "feature_missing",
    `${action}: the node shows neither bound tokens nor a proof of its xkey, so it is a node of the Go Nex or a stranger`,
    {
      advice:
        "Nothing was sent; to use Go nodes all the same: --allow-go-nodes, NEX_ALLOW_GO_NODES=1, or allowGoNodes in a program",
    },
  );
}

/** Would a node without our features be taken if the client allowed Go nodes? */
export function isRefusedAsGoNode(session: Session, { perRequestConnections }: Needs): boolean {
  return session.endorser === undefined && perRequestConnections !== true && session.allowGoNodes !== true;
}

export function lacksFeature(action: string, feature: string, why: string): NexError {
  return new NexError("feature_missing", `${action}: it needs "${feature}", ${why}`, {
    advice: "Nothing was sent; choose another node, or leave the option away",
  });
}
