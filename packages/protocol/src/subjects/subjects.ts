/**
 * All subjects of Nex, built and parsed in pairs. No other file contains a subject. Source: control API, events and
 * logs of Go Nex 0.2.7.
 */

import { bucketNamePart } from "./names.ts";

const root = "$NEX";

/** Scatter request; every node answers. */
export const pingSubject = `${root}.PING`;
/** Scatter request; nodes that meet the requirements answer. */
export const auctionSubject = `${root}.AUCTION`;

/** Scatter request; every node of this implementation answers whether it would bid, and why not. */
export const auctionWhySubject = `${root}.AUCTION.why`;

export const pingNodeSubject = (nodeId: string): string => `${root}.PING.${nodeId}`;
export const lameDuckSubject = (nodeId: string): string => `${root}.LAMEDUCK.${nodeId}`;

/** Requests the workloads of a namespace, or those with an id or name in it. */
export const workloadPingSubject = (namespace: string, idOrName?: string): string =>
  idOrName === undefined ? `${root}.WPING.${namespace}` : `${root}.WPING.${namespace}.${idOrName}`;
/** A node's subscription for all workload pings. */
export const workloadPingWildcard = `${root}.WPING.>`;

/** @returns the two filters; an absent or blank token means no filter. */
export function parseWorkloadPingSubject(subject: string): { namespace?: string; idOrName?: string } {
  const [, , namespace, idOrName] = subject.split(".");
  return {
    ...(namespace?.trim() ? { namespace } : {}),
    ...(idOrName?.trim() ? { idOrName } : {}),
  };
}

/** Requests to one node on behalf of one namespace. */
export type NodeRequest = "INFO" | "DEPLOY" | "STOP" | "TRIGGER";

const nodeRequest = (verb: NodeRequest, namespace: string, nodeId: string): string =>
  `${root}.${verb}.${namespace}.${nodeId}`;

export const infoSubject = (namespace: string, nodeId: string): string =>
  nodeRequest("INFO", namespace, nodeId);
export const deploySubject = (namespace: string, nodeId: string): string =>
  nodeRequest("DEPLOY", namespace, nodeId);
export const stopSubject = (namespace: string, nodeId: string): string =>
  nodeRequest("STOP", namespace, nodeId);
export const triggerSubject = (namespace: string, nodeId: string): string =>
  nodeRequest("TRIGGER", namespace, nodeId);
/** A node's subscription for one kind of request, in every namespace. */
export const nodeRequestWildcard = (verb: NodeRequest, nodeId: string): string =>
  nodeRequest(verb, "*", nodeId);

/** @returns namespace and node id of an INFO, DEPLOY, STOP or TRIGGER subject; `""` if absent. */
export function parseNodeRequestSubject(subject: string): { namespace: string; nodeId: string } {
  const [, , namespace = "", nodeId = ""] = subject.split(".");
  return { namespace, nodeId };
}

export const eventSubject = (namespace: string, type: string): string =>
  `${root}.events.${namespace}.${type}`;
/** A watcher's subscription for all events of a namespace. */
export const eventWildcard = (namespace: string): string => `${root}.events.${namespace}.*`;

/** @returns `undefined` for a subject of another form. */
export function parseEventSubject(subject: string): { namespace: string; type: string } | undefined {
  const tokens = subject.split(".");
  const [first, second, namespace, type] = tokens;
  if (tokens.length !== 4 || first !== root || second !== "events") return undefined;
  return { namespace: namespace ?? "", type: type ?? "" };
}

/** Parts of a log subject; a watcher may use `*` for each. */
export interface LogAddress {
  namespace: string;
  nodeId: string;
  workloadName: string;
  workloadId: string;
}

export const logSubject = (at: LogAddress): string =>
  `${root}.logs.${at.namespace}.${at.nodeId}.${at.workloadName}.${at.workloadId}`;

/**
 * Parses a log subject. Log lines relayed by Go Nex have id and name in reverse order, which the form of an id reveals.
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

/** Subject of a node's own log lines. */
export const nodeLogSubject = (nodeId: string, stream: "stdout" | "stderr"): string =>
  `${root}.logs.system.${nodeId}.${stream}`;

/** Stream of a namespace's log lines, and all their subjects. */
export const logStreamName = (namespace: string): string => `NEX_LOGS_${bucketNamePart(namespace)}`;
export const allLogsSubject = (namespace: string): string => `${root}.logs.${namespace}.>`;
/** Stream of a namespace's events, and all their subjects. */
export const eventStreamName = (namespace: string): string => `NEX_EVENTS_${bucketNamePart(namespace)}`;
export const allEventsSubject = (namespace: string): string => `${root}.events.${namespace}.>`;

/** Queue group that the machines of a function share. */
export const functionQueueGroup = (namespace: string, workloadName: string): string =>
  `nex.${namespace}.${workloadName}`;
/** Default trigger that `devrun` gives to a function. */
export const defaultTrigger = (namespace: string, workloadName: string): string =>
  `${namespace}.${workloadName}`;

/** Subject of a workload's dead letters; `>` as the workload stands for all. */
export const deadSubject = (namespace: string, workloadName: string): string =>
  `${root}.DEAD.${namespace}.${workloadName}`;
/** Stream of a namespace's dead letters. */
export const deadStreamName = (namespace: string): string => `NEX_DEAD_${bucketNamePart(namespace)}`;
/** Subject on which a workload takes one of its dead letters again; `*` as the workload stands for all. */
export const retrySubject = (namespace: string, workloadName: string): string =>
  `${root}.RETRY.${namespace}.${workloadName}`;

/** Consumer of a trigger, shared by all copies of its workload. Others may look for it, so it follows from names alone. */
export const triggerConsumerName = (namespace: string, workloadName: string, trigger: string): string =>
  ["nex", bucketNamePart(namespace), workloadName, trigger].join("_");

/** Stream of a namespace's schedules and their ticks. */
export const cronStreamName = (namespace: string): string => `NEX_CRON_${bucketNamePart(namespace)}`;
/** Subject of a schedule; `*` and `>` stand for all. */
export const scheduleSubject = (namespace: string, workloadName: string, trigger: string): string =>
  `${root}.CRON.SCHED.${namespace}.${workloadName}.${trigger}`;
/** Subject of a schedule's ticks. */
export const tickSubject = (namespace: string, workloadName: string, trigger: string): string =>
  `${root}.CRON.TICK.${namespace}.${workloadName}.${trigger}`;

/** Subject of all HTTP requests to a workload, whatever their paths; `*` as namespace and workload stands for all. */
export const httpSubject = (namespace: string, workloadName: string): string =>
  `${root}.HTTP.${namespace}.${workloadName}`;
/** Subject on which the copies of a workload announce their routes; `*` stands for all. */
export const routesSubject = (namespace: string, workloadName: string): string =>
  `${root}.ROUTES.${namespace}.${workloadName}`;
/** Asks all copies to announce their routes. */
export const routesWantedSubject = `${root}.ROUTES_WANTED`;

/** @returns namespace and workload of a subject of announced routes; `undefined` for a subject of another form. */
export function parseRoutesSubject(subject: string): { namespace: string; workloadName: string } | undefined {
  const tokens = subject.split(".");
  const [first, second, namespace = "", workloadName = ""] = tokens;
  if (tokens.length !== 4 || first !== root || second !== "ROUTES") return undefined;
  return { namespace, workloadName };
}

const serviceRoot = "$SRV";
const serviceVerbs = ["PING", "INFO", "STATS"] as const;
/** Questions to NATS services: who is there, their endpoints, and their counters. */
export type ServiceVerb = (typeof serviceVerbs)[number];
/** All subjects of services, for permissions. */
export const serviceWildcard = `${serviceRoot}.>`;
/** A service's subscriptions: all services, those of a name, and the one of an id. */
export const serviceSubjects: readonly [string, ...string[]] = [
  `${serviceRoot}.PING`,
  ...serviceVerbs
    .flatMap((verb) => [`${serviceRoot}.${verb}`, `${serviceRoot}.${verb}.*`, `${serviceRoot}.${verb}.*.*`])
    .slice(1),
];

/** @returns `undefined` for a subject that asks for something else; an absent token means all. */
export function parseServiceSubject(
  subject: string,
): { verb: ServiceVerb; name?: string; id?: string } | undefined {
  const [first, asked, name, id] = subject.split(".");
  const verb = serviceVerbs.find((known) => known === asked);
  if (first !== serviceRoot || verb === undefined) return undefined;
  return { verb, ...(name === undefined ? {} : { name }), ...(id === undefined ? {} : { id }) };
}

/** Bucket for the CLI's uploads, named as in Go Nex. */
export const cliBucket = "NEXCLIFILES";
