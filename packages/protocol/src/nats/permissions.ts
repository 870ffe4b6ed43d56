/** Minimum NATS permissions of each Nex role. Docs, tests and credentials all use this table. */
import { systemNamespace } from "../subjects/names.ts";
import {
  auctionSubject,
  auctionWhySubject,
  cliBucket,
  cronStreamName,
  deadStreamName,
  deadSubject,
  deploySubject,
  eventStreamName,
  eventWildcard,
  httpSubject,
  infoSubject,
  lameDuckSubject,
  logStreamName,
  logSubject,
  nodeLogSubject,
  nodeRequestWildcard,
  pingNodeSubject,
  pingSubject,
  retrySubject,
  routesSubject,
  routesWantedSubject,
  scheduleSubject,
  serviceWildcard,
  stopSubject,
  tickSubject,
  triggerSubject,
  workloadPingSubject,
  workloadPingWildcard,
} from "../subjects/subjects.ts";
import type { NatsPermissions } from "./user.ts";

/**
 * - `node`: the node itself. The namespaces' own connections carry out the requests of workloads.
 * - `workloads`: a node acting for one namespace.
 * - `listener`: a node's HTTP listener acting for one namespace. It says which user has sent a request.
 * - `issuer`: deploys into one namespace, watches it, and calls its functions.
 * - `operator`: sees the nodes and every namespace, and shuts nodes down.
 */
export const natsRoles = ["node", "workloads", "listener", "issuer", "operator"] as const;
export type NatsRole = (typeof natsRoles)[number];

/** Parameters of the permissions. */
export interface RoleScope {
  /** Not used by `node` and `operator`. */
  namespace: string;
  /** Used by `node`, if its id is known. */
  nodeId?: string;
  /** Streams of triggers, also those of buckets; used by `workloads`. */
  streams?: readonly string[];
  /** Namespaces whose logs and events the node keeps in streams; used by `node`. */
  history?: readonly string[];
  /** Subjects of triggers, and subjects that functions may publish to. */
  subjects: readonly string[];
  inboxPrefix: string;
}

/** A node answers each request once, within the longest time that a request can wait. */
const responses = { max: 1, timeMs: 600_000 };
/**
 * Several functions of a namespace may share a trigger subject, and each of them answers who asks for services. With a
 * lower maximum, the server lets the others not answer.
 */
const functionResponses = { max: 1_024, timeMs: 600_000 };

/** NATS permissions for one role, and nothing beyond them. */
export function natsPermissions(role: NatsRole, scope: RoleScope): NatsPermissions {
  return { node, workloads, listener, issuer, operator }[role](scope);
}

function node({ nodeId = "*", history = [], inboxPrefix }: RoleScope): NatsPermissions {
  return {
    publish: [
      ...history.flatMap(makeHistory),
      eventWildcard("*"),
      everyLog("*"),
      nodeLogSubject(nodeId, "stdout"),
      nodeLogSubject(nodeId, "stderr"),
    ],
    subscribe: [
      pingSubject,
      pingNodeSubject(nodeId),
      workloadPingWildcard,
      auctionSubject,
      auctionWhySubject,
      ...(["INFO", "DEPLOY", "STOP", "TRIGGER"] as const).map((verb) => nodeRequestWildcard(verb, nodeId)),
      lameDuckSubject(nodeId),
      ...(history.length > 0 ? [`${inboxPrefix}.>`] : []),
    ],
    responses,
  };
}

function workloads({ namespace, subjects, streams = [], inboxPrefix }: RoleScope): NatsPermissions {
  const cron = cronStreamName(namespace);
  return {
    publish: [
      ...subjects,
      ...ownBuckets,
      "$JS.API.STREAM.NAMES",
      `$JS.API.STREAM.UPDATE.${cron}`,
      deadSubject(namespace, "*"),
      scheduleSubject(namespace, "*", "*"),
      tickSubject(namespace, "*", "*"),
      routesSubject(namespace, "*"),
      routesWantedSubject,
      ...[...streams, cron].flatMap(takeMessages),
    ],
    subscribe: [
      ...subjects,
      retrySubject(namespace, "*"),
      httpSubject(namespace, "*"),
      routesSubject(namespace, "*"),
      routesWantedSubject,
      serviceWildcard,
      `${inboxPrefix}.>`,
    ],
    responses: functionResponses,
  };
}

function listener({ namespace, inboxPrefix }: RoleScope): NatsPermissions {
  return {
    publish: [httpSubject(namespace, "*"), routesWantedSubject],
    subscribe: [routesSubject(namespace, "*"), `${inboxPrefix}.>`],
  };
}

function issuer({ namespace, subjects, inboxPrefix }: RoleScope): NatsPermissions {
  return {
    publish: [
      ...discovery(namespace),
      deploySubject(namespace, "*"),
      stopSubject(namespace, "*"),
      triggerSubject(namespace, "*"),
      ...handleDeadLetters(namespace),
      ...[logStreamName(namespace), eventStreamName(namespace), eventStreamName(systemNamespace)].flatMap(
        readHistory,
      ),
      ...writeObjects(cliBucket),
      ...subjects,
    ],
    subscribe: [
      eventWildcard(namespace),
      eventWildcard(systemNamespace),
      everyLog(namespace),
      `${inboxPrefix}.>`,
    ],
  };
}

function operator({ inboxPrefix }: RoleScope): NatsPermissions {
  return {
    publish: [...discovery("*"), lameDuckSubject("*"), ...readHistory(eventStreamName(systemNamespace))],
    subscribe: [
      eventWildcard("*"),
      everyLog("*"),
      nodeLogSubject("*", "stdout"),
      nodeLogSubject("*", "stderr"),
      `${inboxPrefix}.>`,
    ],
  };
}

/** Subjects for finding nodes, listing the workloads of a namespace, and holding auctions. */
function discovery(namespace: string): string[] {
  return [
    pingSubject,
    pingNodeSubject("*"),
    workloadPingSubject(namespace),
    workloadPingSubject(namespace, "*"),
    auctionSubject,
    auctionWhySubject,
    infoSubject(namespace, "*"),
  ];
}

function everyLog(namespace: string): string {
  return logSubject({ namespace, nodeId: "*", workloadName: "*", workloadId: "*" });
}

/**
 * Artifacts and the buckets of host services. Bucket names start with namespace and workload, which a permission can't
 * express. Separate accounts isolate tenants.
 */
const ownBuckets: readonly string[] = [
  "$JS.API.INFO",
  "$JS.API.STREAM.INFO.*",
  "$JS.API.STREAM.CREATE.*",
  "$JS.API.STREAM.PURGE.*",
  "$JS.API.STREAM.MSG.GET.*",
  "$JS.API.DIRECT.GET.>",
  "$JS.API.CONSUMER.CREATE.>",
  "$JS.API.CONSUMER.INFO.>",
  "$JS.API.CONSUMER.DELETE.>",
  "$JS.FC.>",
  "$KV.>",
  "$O.>",
];

/** Subjects needed to take and settle messages of a stream. Configurations are written by the node alone. */
function takeMessages(stream: string): string[] {
  return [
    `$JS.API.CONSUMER.DURABLE.CREATE.${stream}.*`,
    `$JS.API.CONSUMER.MSG.NEXT.${stream}.*`,
    `$JS.ACK.${stream}.>`,
  ];
}

/** Subjects needed to list, retry and drop dead letters. */
function handleDeadLetters(namespace: string): string[] {
  const stream = deadStreamName(namespace);
  return [
    `$JS.API.DIRECT.GET.${stream}`,
    `$JS.API.DIRECT.GET.${stream}.>`,
    `$JS.API.STREAM.MSG.DELETE.${stream}`,
    retrySubject(namespace, "*"),
  ];
}

/** Subjects needed to make the streams of a namespace's logs and events. */
function makeHistory(namespace: string): string[] {
  return [logStreamName(namespace), eventStreamName(namespace)].flatMap((stream) => [
    `$JS.API.STREAM.CREATE.${stream}`,
    `$JS.API.STREAM.INFO.${stream}`,
  ]);
}

/**
 * Subjects needed to read a stream of logs or events. Whoever may create consumers can have the server publish a stream's
 * messages on any subject of the account, so readers get messages by number.
 */
function readHistory(stream: string): string[] {
  return [`$JS.API.STREAM.INFO.${stream}`, `$JS.API.DIRECT.GET.${stream}`];
}

/** JetStream API subjects needed to read an artifact bucket in one's own account. */
function readObjects(bucket: string): string[] {
  const stream = `OBJ_${bucket}`;
  return [
    "$JS.API.INFO",
    `$JS.API.STREAM.INFO.${stream}`,
    `$JS.API.STREAM.MSG.GET.${stream}`,
    `$JS.API.CONSUMER.CREATE.${stream}.>`,
    `$JS.API.CONSUMER.DELETE.${stream}.*`,
    `$JS.FC.${stream}.>`,
  ];
}

function writeObjects(bucket: string): string[] {
  const stream = `OBJ_${bucket}`;
  return [
    ...readObjects(bucket),
    `$JS.API.STREAM.CREATE.${stream}`,
    `$JS.API.STREAM.PURGE.${stream}`,
    `$O.${bucket}.>`,
  ];
}
