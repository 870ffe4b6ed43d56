/** What a deploy needs of the node that it goes to. */
import {
  checkEndorsement,
  type Feature,
  type Limits,
  NexError,
  type NodeExtras,
  type Tags,
  type WorkloadType,
} from "@nexengine/protocol/internal";

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
  /** Does it bring connections along, which only go sealed? */
  ownConnections?: boolean;
  /** Features that the deploy relies on. */
  features: readonly string[];
  limits: Limits | undefined;
  /** Public key of who signs. */
  issuer?: string;
  /** Size of the artifact, where it is known. */
  artifactBytes?: number | undefined;
}

/** What a client that was given an endorser's key never does without. */
export const trustedFeatures: readonly Feature[] = ["bound-claims", "sealed-request"];

/** @returns the first feature of those that a deploy relies on which a node does not have. */
export function missingFeature(extras: NodeExtras | undefined, { features }: Needs): string | undefined {
  return features.find((feature) => !extras?.features?.includes(feature));
}

/** What of a node's answer tells whether it is endorsed. */
export interface EndorsedAnswer {
  nexus?: string | undefined;
  nex?: NodeExtras | undefined;
}

/**
 * Checks that a node is endorsed, where the client was given an endorser's key.
 *
 * @throws NexError `endorsement_invalid`
 */
export function checkEndorsed(endorser: string | undefined, nodeId: string, answer: EndorsedAnswer): void {
  if (endorser === undefined) return;
  const { nexus = answer.nex?.nexus, nex } = answer;
  checkEndorsement({ nodeId, nexus, endorsement: nex?.endorsement, endorser }, Date.now());
}

/** @param missing What `missingFeature` has found. */
export function lacksNeed({ name, ownConnections }: Needs, missing: string, why: string): NexError {
  const isTrust = (trustedFeatures as readonly string[]).includes(missing);
  const action = `Cannot deploy "${name}"`;
  if (!ownConnections || !isTrust) return lacksFeature(action, missing, why);
  return lacksFeature(`${action}: connections of its own are sent sealed or not at all`, missing, why);
}

export function lacksFeature(action: string, feature: string, why: string): NexError {
  return new NexError("feature_missing", `${action}: it needs "${feature}", ${why}`, {
    advice: "Nothing was sent; choose another node, or leave the option away",
  });
}
