/** The requests that a node answers: subject, bounds and handler of each. */
import { toNexError } from "@nexengine/protocol/errors";
import { parseJson, requestBytesMax } from "@nexengine/protocol/formats";
import {
  type AuctionRequest,
  auctionRequestSchema,
  deployRequestSchema,
  type InfoRequest,
  infoRequestSchema,
  stopRequestSchema,
} from "@nexengine/protocol/messages";
import {
  auctionSubject,
  auctionWhySubject,
  lameDuckSubject,
  nodeRequestWildcard,
  parseNodeRequestSubject,
  parseWorkloadPingSubject,
  pingNodeSubject,
  pingSubject,
  workloadPingWildcard,
} from "@nexengine/protocol/subjects";
import { admitDeploy, invalidDeploy } from "../admission/admit-deploy.ts";
import { admitStop, invalidStop, type StopTarget } from "../admission/admit-stop.ts";
import { type BidReason, grantedOf, reasonsAgainst } from "./bid.ts";
import type { ActionContext } from "./context.ts";
import type { Action } from "./dispatcher.ts";
import { hasExtras } from "./extras.ts";
import { lameDuck } from "./lame-duck.ts";
import { triggerAction } from "./trigger-action.ts";
import { useUp } from "./use-up.ts";

const kibibyte = 1_024;
/** Bounds on requests that every node of a nexus gets. */
const askedOfAll = {
  bodyBytesMax: 16 * kibibyte,
  perSecondMax: 200,
  threadMsPerSecondMax: 250,
  isScattered: true,
};
/** Bounds on requests to this node alone. */
const askedOfOne = { bodyBytesMax: 16 * kibibyte, perSecondMax: 1_000, threadMsPerSecondMax: 250 };

/** All actions of a node. */
export function nodeActions(context: ActionContext): Action[] {
  const { info } = context;
  const ping = (): object => info.ping(context.workloads);
  return [
    { ...askedOfAll, subject: pingSubject, kind: "ping", handle: ping },
    { ...askedOfOne, subject: pingNodeSubject(info.nodeId), kind: "ping", handle: ping },
    {
      ...askedOfAll,
      silent: true,
      subject: workloadPingWildcard,
      kind: "ping",
      handle: (subject) => workloadPing(context, subject),
    },
    { ...askedOfAll, subject: auctionSubject, kind: "auction", handle: (_, body) => bid(context, body) },
    {
      ...askedOfAll,
      isScattered: false,
      subject: auctionWhySubject,
      kind: "auction_why",
      handle: (_, body) => why(context, body),
    },
    {
      ...askedOfOne,
      subject: nodeRequestWildcard("INFO", info.nodeId),
      kind: "info",
      handle: (subject, body) => describeNode(context, subject, body),
    },
    {
      ...askedOfOne,
      bodyBytesMax: requestBytesMax,
      threadMsPerSecondMax: 500,
      subject: nodeRequestWildcard("DEPLOY", info.nodeId),
      kind: "run",
      handle: (subject, body) => deploy(context, parseNodeRequestSubject(subject).namespace, body),
    },
    {
      ...askedOfOne,
      bodyBytesMax: 32 * kibibyte,
      subject: nodeRequestWildcard("STOP", info.nodeId),
      kind: "stop",
      handle: (subject, body) => stop(context, subject, body),
    },
    {
      ...askedOfOne,
      subject: nodeRequestWildcard("TRIGGER", info.nodeId),
      kind: "trigger",
      handle: (subject, body) => triggerAction(context, subject, body),
    },
    {
      ...askedOfOne,
      subject: lameDuckSubject(info.nodeId),
      kind: "lameduck",
      handle: (_, body) => lameDuck(context, body),
    },
  ];
}

/** Answers INFO. Go Nex ignores the body. */
function describeNode(
  { info, workloads, waiting, recentLines }: ActionContext,
  subject: string,
  body: Uint8Array,
): object {
  const { namespace } = parseNodeRequestSubject(subject);
  return info.info(namespace, infoRequest(body), { workloads, waiting }, recentLines);
}

function infoRequest(body: Uint8Array): InfoRequest {
  try {
    return parseJson(body, infoRequestSchema, "Cannot describe the node");
  } catch (error) {
    if (hasExtras(body)) throw error;
    return {};
  }
}

function workloadPing({ info, workloads }: ActionContext, subject: string): object | undefined {
  const { namespace, idOrName } = parseWorkloadPingSubject(subject);
  const matching = workloads.deployed.filter(
    (workload) =>
      (namespace === undefined || info.isSameNamespace(workload.namespace, namespace)) &&
      (idOrName === undefined ||
        workload.id === idOrName ||
        workload.name.toLowerCase() === idOrName.toLowerCase()),
  );
  return matching.length === 0 ? undefined : info.workloadPing(matching);
}

function bid(context: ActionContext, body: Uint8Array): object | undefined {
  const request = auctionRequest(body);
  const facts = context.deployFacts(request?.nex?.namespace);
  if (request === undefined || reasonsAgainst(request, context.info, facts).length > 0) return undefined;
  const fits = context.fitsReadyMachine(grantedOf(request, facts), request.nex?.namespace);
  return context.info.bid(context.workloads, fits);
}

function why(context: ActionContext, body: Uint8Array): object {
  const request = auctionRequest(body);
  const reasons: BidReason[] =
    request === undefined
      ? [{ code: "feature_missing", text: "does not know all that is asked for" }]
      : reasonsAgainst(request, context.info, context.deployFacts(request.nex?.namespace));
  return { node_id: context.info.nodeId, bids: reasons.length === 0, reasons };
}

/**
 * An unreadable body asks for nothing, as in Go Nex. But an unknown requirement of ours is not met, and neither is a body
 * that is too large to read.
 */
function auctionRequest(body: Uint8Array): AuctionRequest | undefined {
  try {
    return parseJson(body, auctionRequestSchema, "auction");
  } catch (error) {
    return toNexError(error).code === "request_too_large" || hasExtras(body) ? undefined : {};
  }
}

/**
 * Handles a DEPLOY from any source.
 *
 * @param autostart Digest of the configuration's entry that asks for it.
 * @throws NexError; the refusal has been told then.
 */
export async function deploy(
  context: ActionContext,
  namespace: string,
  body: Uint8Array,
  autostart?: string,
): Promise<object> {
  try {
    const request = parseJson(body, deployRequestSchema, "Unable to deserialize deploy request");
    const admitted = admitDeploy({ namespace, request, body }, context.deployFacts(namespace));
    const { token } = admitted;
    const spec = autostart === undefined ? admitted.spec : { ...admitted.spec, autostart };
    const remembered = useUp(context.usedTokens, invalidDeploy, token);
    const { name: given, type: workloadType, issuer } = spec;
    context.reporter.tell({ type: "deploy_accepted", namespace, name: given, workloadType, issuer });
    const { id, name, published, readyCount: ready } = await context.workloads.deploy(spec, remembered);
    const ports = published.length === 0 ? {} : { published };
    const nex = { version: 1, replicas: spec.replicas, ready, ...ports };
    return { started: true, id, issuer, name, nex };
  } catch (thrown) {
    refused(context, "deploy_refused", namespace, thrown);
    throw thrown;
  }
}

/** A workload that runs, or waits to. */
type Stoppable = StopTarget & { name: string; stop(reason: string): Promise<void> };

async function stop(context: ActionContext, subject: string, body: Uint8Array): Promise<object> {
  const { namespace } = parseNodeRequestSubject(subject);
  try {
    const request = parseJson(body, stopRequestSchema, "Unable to deserialize stop request");
    const id = request.workload_id ?? "";
    const target: Stoppable | undefined = context.workloads.find(id) ?? context.waiting.find(id);
    const { workload, token } = admitStop(namespace, request, target, context.deployFacts(namespace));
    await useUp(context.usedTokens, invalidStop, token);
    const { name, claims } = workload;
    context.reporter.tell({ type: "stop_accepted", workload, issuer: claims.iss });
    await workload.stop("Workload shutdown requested");
    return { stopped: true, id, issuer: claims.iss, name };
  } catch (thrown) {
    refused(context, "stop_refused", namespace, thrown);
    throw thrown;
  }
}

function refused(
  context: ActionContext,
  type: "deploy_refused" | "stop_refused",
  namespace: string,
  thrown: unknown,
): void {
  const { code, message } = toNexError(thrown);
  context.reporter.tell({ type, namespace, code, reason: message });
}
