/** The least that each who works with Nex must be permitted on NATS: the one place, for pages, tests and credentials. */
import { systemNamespace } from "./names.ts";
import type { NatsPermissions } from "./nats-user.ts";
import {
  auctionSubject,
  auctionWhySubject,
  cliBucket,
  deploySubject,
  eventWildcard,
  infoSubject,
  lameDuckSubject,
  logSubject,
  nodeLogSubject,
  nodeRequestWildcard,
  pingNodeSubject,
  pingSubject,
  stopSubject,
  workloadPingSubject,
  workloadPingWildcard,
} from "./subjects.ts";

/**
 * - `node`: the node itself. What workloads do is done by the namespaces' own connections.
 * - `workloads`: how a node acts for one namespace.
 * - `issuer`: deploys into one namespace, watches it, and calls its functions.
 * - `operator`: sees the nodes and every namespace, and ends nodes.
 */
export const natsRoles = ["node", "workloads", "issuer", "operator"] as const;
export type NatsRole = (typeof natsRoles)[number];

/** Whose permissions they are. */
export interface RoleScope {
  /** Of `workloads` and `issuer`. */
  namespace: string;
  /** Of a `node` whose id is known. */
  nodeId?: string;
  /** Where triggers are, and what functions may publish to. */
  subjects: readonly string[];
  inboxPrefix: string;
}

/** A node answers what it was asked, once, within the longest time that a request can wait for it. */
const responses = { max: 1, timeMs: 600_000 };
/** Several functions of a namespace may have a trigger on one subject; with less, a server lets none of them answer. */
const functionResponses = { max: 64, timeMs: 600_000 };

/** What a user of a role must be permitted, and no more. */
export function natsPermissions(role: NatsRole, scope: RoleScope): NatsPermissions {
  return { node, workloads, issuer, operator }[role](scope);
}

function node({ nodeId = "*" }: RoleScope): NatsPermissions {
  return {
    publish: [
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
      ...(["INFO", "DEPLOY", "STOP"] as const).map((verb) => nodeRequestWildcard(verb, nodeId)),
      lameDuckSubject(nodeId),
    ],
    responses,
  };
}

function workloads({ subjects, inboxPrefix }: RoleScope): NatsPermissions {
  return {
    publish: [...subjects, ...ownBuckets],
    subscribe: [...subjects, `${inboxPrefix}.>`],
    responses: functionResponses,
  };
}

function issuer({ namespace, subjects, inboxPrefix }: RoleScope): NatsPermissions {
  return {
    publish: [
      ...discovery(namespace),
      deploySubject(namespace, "*"),
      stopSubject(namespace, "*"),
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
    publish: [...discovery("*"), lameDuckSubject("*")],
    subscribe: [
      eventWildcard("*"),
      everyLog("*"),
      nodeLogSubject("*", "stdout"),
      nodeLogSubject("*", "stderr"),
      `${inboxPrefix}.>`,
    ],
  };
}

/** Which nodes there are, what they run in a namespace, and which of them would take a workload. */
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
 * Artifacts, and the buckets of host services. Their names begin with those of namespace and workload, which a permission
 * can't say; what keeps tenants apart is that each has an account of its own.
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

/** What an account that has its own bucket of artifacts asks of JetStream to read from it. */
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
