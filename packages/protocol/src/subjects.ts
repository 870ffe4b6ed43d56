/**
 * Every subject of Nex, built and parsed in pairs. No subject stands anywhere else.
 * Source of the forms: the reference's control API, events and logs (0.2.7).
 */

const root = "$NEX";

/** A scatter request that every node answers. */
export const pingSubject = `${root}.PING`;
/** A scatter request that the nodes meeting its requirements answer. */
export const auctionSubject = `${root}.AUCTION`;

/** A scatter request like an auction, which every node of ours answers: whether it would bid, and why not. */
export const auctionWhySubject = `${root}.AUCTION.why`;

export const pingNodeSubject = (nodeId: string): string => `${root}.PING.${nodeId}`;
export const lameDuckSubject = (nodeId: string): string => `${root}.LAMEDUCK.${nodeId}`;

/** Asks for the workloads of a namespace, or those of an id or name in it. */
export const workloadPingSubject = (namespace: string, idOrName?: string): string =>
  idOrName === undefined ? `${root}.WPING.${namespace}` : `${root}.WPING.${namespace}.${idOrName}`;
/** What a node subscribes for all workload pings. */
export const workloadPingWildcard = `${root}.WPING.>`;

/** @returns the two filters; an absent or blank token is none. */
export function parseWorkloadPingSubject(subject: string): { namespace?: string; idOrName?: string } {
  const [, , namespace, idOrName] = subject.split(".");
  return {
    ...(namespace?.trim() ? { namespace } : {}),
    ...(idOrName?.trim() ? { idOrName } : {}),
  };
}

/** The requests that go to one node on behalf of one namespace. */
export type NodeRequest = "INFO" | "DEPLOY" | "STOP";

const nodeRequest = (verb: NodeRequest, namespace: string, nodeId: string): string =>
  `${root}.${verb}.${namespace}.${nodeId}`;

export const infoSubject = (namespace: string, nodeId: string): string =>
  nodeRequest("INFO", namespace, nodeId);
export const deploySubject = (namespace: string, nodeId: string): string =>
  nodeRequest("DEPLOY", namespace, nodeId);
export const stopSubject = (namespace: string, nodeId: string): string =>
  nodeRequest("STOP", namespace, nodeId);
/** What a node subscribes for one kind of request, in every namespace. */
export const nodeRequestWildcard = (verb: NodeRequest, nodeId: string): string =>
  nodeRequest(verb, "*", nodeId);

/** @returns the namespace token of an INFO, DEPLOY or STOP subject, `""` where there is none. */
export function parseNodeRequestSubject(subject: string): { namespace: string; nodeId: string } {
  const [, , namespace = "", nodeId = ""] = subject.split(".");
  return { namespace, nodeId };
}

export const eventSubject = (namespace: string, type: string): string =>
  `${root}.events.${namespace}.${type}`;
/** What a watcher subscribes for all events of a namespace. */
export const eventWildcard = (namespace: string): string => `${root}.events.${namespace}.*`;

/** @returns `undefined` for a subject of another form. */
export function parseEventSubject(subject: string): { namespace: string; type: string } | undefined {
  const tokens = subject.split(".");
  const [first, second, namespace, type] = tokens;
  if (tokens.length !== 4 || first !== root || second !== "events") return undefined;
  return { namespace: namespace ?? "", type: type ?? "" };
}

/** Where a log line stands; each member may be `*` in a watcher's subject. */
export interface LogAddress {
  namespace: string;
  nodeId: string;
  workloadName: string;
  workloadId: string;
}

export const logSubject = (at: LogAddress): string =>
  `${root}.logs.${at.namespace}.${at.nodeId}.${at.workloadName}.${at.workloadId}`;

/**
 * Parses a log subject; the reference's relayed lines have id and name in the other order, which is told by the
 * form of an id.
 *
 * @returns `undefined` for a subject of another form.
 */
export function parseLogSubject(subject: string): LogAddress | undefined {
  const tokens = subject.split(".");
  const [first, second, namespace = "", nodeId = "", a = "", b = ""] = tokens;
  if (tokens.length !== 6 || first !== root || second !== "logs") return undefined;
  const swapped = /^[0-9a-v]{20}$/.test(a) && !/^[0-9a-v]{20}$/.test(b);
  return { namespace, nodeId, workloadName: swapped ? b : a, workloadId: swapped ? a : b };
}

/** Where a node's own log goes, line by line. */
export const nodeLogSubject = (nodeId: string, stream: "stdout" | "stderr"): string =>
  `${root}.logs.system.${nodeId}.${stream}`;

/** The queue group that the copies of a function share. */
export const functionQueueGroup = (namespace: string, workloadName: string): string =>
  `nex.${namespace}.${workloadName}`;
/** The trigger that `devrun` gives to a function for which none was named. */
export const defaultTrigger = (namespace: string, workloadName: string): string =>
  `${namespace}.${workloadName}`;

/** The bucket of the command line's uploads, the reference's name. */
export const cliBucket = "NEXCLIFILES";
