/** Whether a node bids in an auction, and why not. */
import { errorText, NexError } from "@nexengine/protocol/errors";
import {
  type AuctionRequest,
  type AuctionWhyResponse,
  bidReasonsMax,
  checkLimits,
  type Limits,
  type WorkloadType,
} from "@nexengine/protocol/messages";
import { printable } from "@nexengine/protocol/subjects";
import { type DeployFacts, isFull, mayIssue } from "../admission/admit-deploy.ts";
import { grantLimits } from "../admission/limits.ts";
import { sandboxKinds } from "../sandbox/kinds.ts";
import type { GrantedLimits } from "../workloads/spec.ts";
import type { NodeInfo } from "./info.ts";

export type BidReason = AuctionWhyResponse["reasons"][number];

/**
 * Reasons against a bid; empty when the node bids. Each reason names only what was asked, never a value of the node's,
 * and reads after "the node": "lacks the tag gpu=yes".
 */
export function reasonsAgainst(request: AuctionRequest, info: NodeInfo, facts: DeployFacts): BidReason[] {
  return [...ofState(facts), ...ofNode(request, info), ...ofExtras(request, info, facts)].slice(
    0,
    bidReasonsMax,
  );
}

/** Limits that the workload of an auction would get. */
export function grantedOf({ nex, workload_types }: AuctionRequest, facts: DeployFacts): GrantedLimits {
  return grantLimits(nex?.limits ?? {}, (workload_types?.[0] ?? "native") as WorkloadType, facts.limits);
}

function ofState(facts: DeployFacts): BidReason[] {
  return [
    ...(facts.lameDuck ? [{ code: "lame_duck", text: "is in lame duck mode" }] : []),
    ...(isFull(facts) ? [{ code: "workload_limit", text: "runs as many workloads as it may" }] : []),
  ];
}

function ofNode(request: AuctionRequest, info: NodeInfo): BidReason[] {
  const { tags } = info;
  const differs = (value: string | undefined, tag: string): boolean =>
    value !== undefined && value !== "" && value.toLowerCase() !== tags[tag]?.toLowerCase();
  const reasons: BidReason[] = [];
  if (differs(request.os, "nex.os") || differs(request.arch, "nex.arch")) {
    const wanted = [request.os, request.arch].filter((part) => part !== undefined && part !== "").join("/");
    reasons.push({ code: "platform", text: `is not ${printable(wanted)}` });
  }
  if (request.sandboxed !== undefined && request.sandboxed !== info.sandboxed) {
    const text = request.sandboxed ? "does not keep workloads apart" : "keeps workloads apart";
    reasons.push({ code: "sandbox", text });
  }
  for (const [name, value] of Object.entries(request.tags ?? {})) {
    if (Object.hasOwn(tags, name) && !differs(value, name)) continue;
    reasons.push({ code: "tag", text: `lacks the tag ${printable(`${name}=${value}`)}` });
  }
  for (const type of request.workload_types ?? []) {
    if (info.workloadTypes.includes(type)) continue;
    reasons.push({ code: "unsupported_type", text: `does not run workloads of type ${printable(type)}` });
  }
  return reasons;
}

function ofExtras({ nex, workload_types }: AuctionRequest, info: NodeInfo, facts: DeployFacts): BidReason[] {
  if (nex === undefined) return [];
  const reasons: BidReason[] = [];
  if (nex.sandbox !== undefined && sandboxKinds[info.sandbox].strength < sandboxKinds[nex.sandbox].strength) {
    reasons.push({ code: "sandbox", text: `has no sandbox as strong as ${nex.sandbox}` });
  }
  if (!facts.rules.isListed) {
    reasons.push({ code: "namespace_unlisted", text: "does not take workloads of this namespace" });
  } else if (!facts.isConnected) {
    reasons.push({ code: "connection_unavailable", text: "has no connection for this namespace now" });
  }
  if (nex.issuer !== undefined && !mayIssue(nex.issuer, facts)) {
    reasons.push({ code: "issuer_not_allowed", text: "does not accept this issuer" });
  }
  if (nex.artifact_bytes !== undefined && nex.artifact_bytes > facts.artifactBytesMax) {
    const text = `does not take an artifact of ${nex.artifact_bytes} bytes`;
    reasons.push({ code: "artifact_too_large", text });
  }
  const type = (workload_types?.[0] ?? "native") as WorkloadType;
  return [...reasons, ...ofLimits(nex.limits ?? {}, type, facts)];
}

/** Checks each limit alone, so that each refused one is named. */
function ofLimits(limits: Limits, type: WorkloadType, facts: DeployFacts): BidReason[] {
  const { network, egress_allow, ...others } = limits;
  const apart: Limits[] = Object.entries(others).map(([name, value]) => ({ [name]: value }));
  if (network !== undefined || egress_allow !== undefined) {
    apart.push({
      ...(network === undefined ? {} : { network }),
      ...(egress_allow === undefined ? {} : { egress_allow }),
    });
  }
  return apart.flatMap((one) => {
    try {
      checkLimits(one);
      grantLimits(one, type, facts.limits);
      return [];
    } catch (error) {
      const code = error instanceof NexError ? error.code : errorText(error);
      const asked = Object.entries(one).map(([name, value]) => `${name} ${JSON.stringify(value)}`);
      return [{ code, text: `does not give ${printable(asked.join(", ")).slice(0, 256)}` }];
    }
  });
}
