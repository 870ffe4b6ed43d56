/** The client of a nexus: everything that a person who deploys can ask for. */

import type { NatsConnection } from "@nats-io/nats-core";
import { NexError } from "@nexengine/protocol/errors";
import {
  type AuctionRequest,
  type EndedWorkload,
  type InfoRequest,
  type InfoResponse,
  infoResponseSchema,
  type LameDuckResponse,
  type MachineInfo,
  type PingResponse,
  pingResponseSchema,
  type StopResponse,
  type TailLine,
  type TriggerStatus,
  tailLinesMax,
  workloadPingResponseSchema,
} from "@nexengine/protocol/messages";
import type { NatsLogin } from "@nexengine/protocol/nats";
import { repairEmbeddingProgram } from "@nexengine/protocol/node-runtime";
import {
  assertNamespace,
  auctionSubject,
  defaultNamespace,
  eventWildcard,
  infoSubject,
  isWorkloadName,
  logSubject,
  pingSubject,
  printable,
  systemNamespace,
  workloadPingSubject,
} from "@nexengine/protocol/subjects";
import { isPublicKey } from "@nexengine/protocol/tokens";
import type { LocalArtifact } from "./artifact.ts";
import { type CallOptions, type CallReply, call } from "./call.ts";
import { connectNats } from "./connection.ts";
import { DeadLetterBox } from "./dead-letters.ts";
import { type Deployment, type DeployOptions, deploy } from "./deploy.ts";
import { type EventEntry, eventEntryOf, type LogEntry, type LogFilter, logEntryOf } from "./entries.ts";
import { Feed, type FeedOptions } from "./feed.ts";
import { eventHistory, type HistoryOptions, type LogHistoryOptions, logHistory } from "./history/history.ts";
import type { HistoryFeed } from "./history/history-feed.ts";
import { type LameDuckOptions, lameDuck } from "./lame-duck.ts";
import { forgetTrigger, type LeftTrigger, leftTriggers } from "./left-triggers.ts";
import { askNode, assertNodeId, requestTimeoutMs } from "./requests.ts";
import { askAll, type ScatterOptions } from "./scatter.ts";
import type { Fallback, Session } from "./session.ts";
import { type StopOptions, stop } from "./stop.ts";
import { type TriggerActionOptions, triggerAction } from "./trigger-action.ts";
import { type Uploaded, type UploadOptions, upload } from "./upload.ts";

/** Further parts of an INFO answer beside running workloads: workloads that ended, and log lines. */
export type InfoWanted = Omit<NonNullable<InfoRequest["nex"]>, "version" | "after">;

/** Pages of an INFO that are asked for at most; one has a thousand workloads or so. */
const infoPagesMax = 256;

/** Where a client works. */
export interface ClientOptions extends NatsLogin {
  /** One subject token; `default` when absent. */
  namespace?: string;
  /** A connection that is there already; it stays open when the client ends. */
  connection?: NatsConnection;
  /**
   * Public key of the nexus's owner (`O…`): nothing is sealed for nodes that it has not endorsed, and nothing that is
   * not bound is signed, so that no answer on the way can talk the client into less.
   */
  endorser?: string;
  /**
   * Name of the nexus: nothing is deployed to nodes of another one. With `endorser` their endorsement tells, otherwise
   * their own word.
   */
  nexus?: string;
  /**
   * Deploy to nodes of the Go Nex, and stop there, too. Those have neither a proof of their xkey nor tokens that are bound
   * to one request, so whoever answers in their place can read the environment and reuse the token.
   */
  allowGoNodes?: boolean;
  /** Called before a legacy token is sent to a node without our proofs, which `allowGoNodes` permits. */
  onFallback?: (fallback: Fallback) => void;
}

/** Where a workload is. */
export interface WorkloadPlace {
  id: string;
  name: string;
  namespace: string;
  type: string;
  nodeId: string;
  nodeName: string;
}

/** A workload as its node describes it. */
export type WorkloadDetails = MachineInfo & { nodeId: string; nodeName: string };

/** A workload that has ended, and where it ran. */
export type EndedDetails = EndedWorkload & { nodeId: string; nodeName: string };

/** A log line that a node has kept. */
export type RecentLine = TailLine & { nodeId: string; nodeName: string };

/**
 * Joins a nexus. On a Node that computes wrong results it switches the faulty optimization off, and warns.
 *
 * @throws NexError `connection_failed`, `namespace_invalid`, `key_invalid`
 */
export async function connectNex(options: ClientOptions = {}): Promise<NexClient> {
  repairEmbeddingProgram();
  const {
    namespace = defaultNamespace,
    connection,
    endorser,
    nexus,
    allowGoNodes,
    onFallback,
    ...login
  } = options;
  assertNamespace(namespace);
  if (endorser !== undefined && (!isPublicKey(endorser) || endorser.startsWith("X"))) {
    throw new NexError(
      "key_invalid",
      `Cannot trust nodes endorsed by "${printable(endorser)}": it is not the public key of an endorser (O…)`,
    );
  }
  const own = connection === undefined;
  const { inboxPrefix } = login;
  const joined = connection ?? (await connectNats(login));
  return new NexClient(joined, namespace, own, { inboxPrefix, endorser, nexus, allowGoNodes, onFallback });
}

/** A client that works in one namespace of a nexus. Made by `connectNex`. */
export class NexClient implements AsyncDisposable {
  readonly connection: NatsConnection;
  readonly namespace: string;
  readonly #own: boolean;
  readonly #session: Session;

  /** Use `connectNex`. */
  constructor(
    connection: NatsConnection,
    namespace: string,
    own: boolean,
    more: Omit<Session, "connection" | "namespace"> = {},
  ) {
    this.connection = connection;
    this.namespace = namespace;
    this.#own = own;
    this.#session = { connection, namespace, ...more };
  }

  /** The nodes of the nexus. An empty list when nobody answers. */
  nodes(options?: ScatterOptions): Promise<PingResponse[]> {
    return askAll(this.#session, pingSubject, "", pingResponseSchema, options);
  }

  /** The nodes that would take what is asked for. */
  auction(request: AuctionRequest = {}, options?: ScatterOptions): Promise<PingResponse[]> {
    return askAll(this.#session, auctionSubject, JSON.stringify(request), pingResponseSchema, options);
  }

  /**
   * Asks a node for facts about itself and about the namespace's workloads on it, all pages together.
   *
   * @param timeoutMs For the answer to each page.
   * @param wanted What to ask for beside the running workloads.
   * @throws NexError `node_not_found`, `node_silent`
   */
  async info(nodeId: string, timeoutMs = requestTimeoutMs, wanted: InfoWanted = {}): Promise<InfoResponse> {
    const action = "Cannot get the info of a node";
    assertNodeId(nodeId, action);
    const subject = infoSubject(this.namespace, nodeId);
    const ask = (nex: object): Promise<InfoResponse> => {
      const body = Object.keys(nex).length === 0 ? "" : JSON.stringify({ nex: { version: 1, ...nex } });
      return askNode(this.#session, subject, body, infoResponseSchema, { action, nodeId, timeoutMs });
    };
    const first = await ask(wanted);
    const machines = [...first.machines];
    for (let after = first.nex?.next, page = 1; after !== undefined && page < infoPagesMax; page++) {
      const next = await ask({ after });
      machines.push(...next.machines);
      after = next.nex?.next;
    }
    return { ...first, machines };
  }

  /**
   * Where the namespace's workloads are, or those of an id or exact name. Nodes without a match keep silent, so this waits
   * its whole time where there is none.
   *
   * @throws NexError `name_invalid`
   */
  async workloads(idOrName?: string, options?: ScatterOptions): Promise<WorkloadPlace[]> {
    if (idOrName !== undefined && !isWorkloadName(idOrName)) {
      throw new NexError(
        "name_invalid",
        `Cannot look for "${printable(idOrName)}": it is no name or id of a workload`,
      );
    }
    const subject = workloadPingSubject(this.namespace, idOrName);
    const answers = await askAll(this.#session, subject, "", workloadPingResponseSchema, options);
    const places = answers.flatMap((node) =>
      node.running_machines.map((workload) => ({
        ...workload,
        nodeId: node.node_id,
        nodeName: node.tags?.["node_name"] ?? "no-name",
      })),
    );
    // On the wire names that differ in case are one, as in the Go Nex; for a client they are two.
    return places.filter(({ id, name }) => idOrName === undefined || id === idOrName || name === idOrName);
  }

  /**
   * The namespace's workloads on all nodes, as their nodes describe them; those of an id or exact name when one is given. A
   * node that does not answer is left out. Every node answers, so this is done sooner than `workloads` where there
   * are none.
   */
  async workloadDetails(idOrName?: string, options?: ScatterOptions): Promise<WorkloadDetails[]> {
    const nodes = await this.nodes(options);
    const infos = await Promise.allSettled(nodes.map((node) => this.info(node.node_id, options?.timeoutMs)));
    const matches = ({ id, workload }: MachineInfo): boolean =>
      idOrName === undefined || id === idOrName || workload.name === idOrName;
    return infos.flatMap((info, at) => {
      const node = nodes[at];
      if (info.status === "rejected" || node === undefined) return [];
      const nodeName = node.tags?.["node_name"] ?? "no-name";
      return info.value.machines
        .filter(matches)
        .map((machine) => ({ ...machine, nodeId: node.node_id, nodeName }));
    });
  }

  /**
   * The namespace's workloads that have ended within the last hour, the latest first, with exit status, reason and last
   * lines, as their nodes remember them. Go nodes remember none.
   */
  async endedWorkloads(options?: ScatterOptions): Promise<EndedDetails[]> {
    const infos = await this.#infosOfAll({ ended: true, node_only: true }, options);
    const ended = infos.flatMap(({ info, nodeId, nodeName }) =>
      (info.nex?.ended ?? []).map((one) => ({ ...one, nodeId, nodeName })),
    );
    return ended.sort((one, other) => other.ended_ms - one.ended_ms);
  }

  /**
   * The latest log lines of the namespace's workloads, the latest last, also of those that have ended; of one name or id
   * when it is given. Nodes keep 200 lines of each that runs and 20 of each that has ended.
   */
  async recentLines(
    { count, workload }: { count: number; workload?: string | undefined },
    options?: ScatterOptions,
  ): Promise<RecentLine[]> {
    const tail = Math.min(count, tailLinesMax);
    const wanted = { tail, ended: true, node_only: true, ...(workload === undefined ? {} : { workload }) };
    const infos = await this.#infosOfAll(wanted, options);
    const lines = infos.flatMap(({ info, nodeId, nodeName }) => {
      const ended = (info.nex?.ended ?? [])
        .filter(({ id, name }) => workload === undefined || id === workload || name === workload)
        .flatMap(({ id, name, lines: last }) => last.map((line) => ({ ...line, id, name })));
      return [...(info.nex?.lines ?? []), ...ended].map((line) => ({ ...line, nodeId, nodeName }));
    });
    return lines.sort((one, other) => one.time_ms - other.time_ms).slice(-count);
  }

  async #infosOfAll(
    wanted: InfoWanted,
    options?: ScatterOptions,
  ): Promise<{ info: InfoResponse; nodeId: string; nodeName: string }[]> {
    const nodes = await this.nodes(options);
    const asked = nodes.map(async ({ node_id: nodeId, tags }) => {
      const info = await this.info(nodeId, options?.timeoutMs, wanted);
      return { info, nodeId, nodeName: tags?.["node_name"] ?? "no-name" };
    });
    const settled = await Promise.allSettled(asked);
    return settled.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
  }

  /** @throws NexError `file_not_found`, `artifact_invalid`, `upload_failed` */
  upload(artifact: LocalArtifact, options: UploadOptions): Promise<Uploaded> {
    return upload(this.connection, artifact, options);
  }

  /**
   * Deploys a workload: checks it here, finds a node by auction unless one is given, checks that node's xkey, uploads
   * the artifact, signs its real digest, seals the environment, and waits until it runs.
   *
   * @throws NexError; nothing was started then, except that `node_silent` can't tell.
   */
  deploy(options: DeployOptions): Promise<Deployment> {
    return deploy(this.#session, options);
  }

  /**
   * Stops a workload that this issuer started, and waits until it has ended. A Go node refuses a stop in the second of
   * its deploy; it is asked for again in the next one.
   *
   * @throws NexError `no_such_workload`, `stop_issuer_mismatch`, `node_not_found`, `node_silent`
   */
  stop(options: StopOptions): Promise<StopResponse> {
    return stop(this.#session, options);
  }

  /**
   * Pauses a trigger of a function that this issuer started: it takes no more messages until `resumeTrigger`, also on the
   * next node in the state directory.
   *
   * @throws NexError `no_such_workload`, `no_such_trigger`, `stop_issuer_mismatch`, `feature_missing`
   */
  pauseTrigger(options: TriggerActionOptions): Promise<TriggerStatus> {
    return triggerAction(this.#session, "pause", options);
  }

  /** Lets a paused trigger go on. @throws NexError as `pauseTrigger` */
  resumeTrigger(options: TriggerActionOptions): Promise<TriggerStatus> {
    return triggerAction(this.#session, "resume", options);
  }

  /**
   * Finds what the triggers of a workload have with the server: their places in streams, which stay when it is stopped.
   *
   * @throws NexError `trigger_failed`, `timeout`, `connection_failed`
   */
  leftTriggers(workload: string): Promise<LeftTrigger[]> {
    return leftTriggers(this.#session, workload);
  }

  /** Removes one of `leftTriggers`: a later deploy begins anew. @throws NexError as there */
  forgetTrigger(left: LeftTrigger): Promise<void> {
    return forgetTrigger(this.#session, left);
  }

  /** Messages of the namespace that no call of a function has settled. */
  get deadLetters(): DeadLetterBox {
    return new DeadLetterBox(this.#session);
  }

  /**
   * Puts a node into lame duck mode: it takes no more workloads. An operator's key makes it finish those that it has,
   * and end.
   *
   * @throws NexError `operator_required`, `feature_missing`, `node_not_found`, `node_silent`
   */
  lameDuck(nodeId: string, options?: LameDuckOptions): Promise<LameDuckResponse> {
    return lameDuck(this.#session, nodeId, options);
  }

  /**
   * The log lines of the namespace's workloads from now on.
   *
   * @throws NexError `node_not_found` for what is not the id of a node, `connection_failed`
   */
  logs(filter: LogFilter = {}): Feed<LogEntry> {
    const { nodeId = "*" } = filter;
    if (nodeId !== "*") assertNodeId(nodeId, "Cannot watch logs");
    // Both orders of the last two tokens are on the wire, so those are filtered here.
    const subject = logSubject({
      namespace: this.namespace,
      nodeId,
      workloadName: "*",
      workloadId: "*",
    });
    const selection = { ...filter, nodeId: nodeId === "*" ? undefined : nodeId };
    return new Feed(
      this.connection,
      [subject],
      (message) => logEntryOf(message, selection, new Date()),
      filter,
    );
  }

  /**
   * The log lines that the history of the namespace has, the oldest first. With `follow` it goes on with those that come,
   * without a gap. Returns once the history has been found.
   *
   * @throws NexError `history_missing`, `node_not_found` for what is not the id of a node, `connection_failed`, `timeout`,
   *   `nats_server_too_old`; iterating throws them too.
   */
  logHistory(options: LogHistoryOptions = {}): Promise<HistoryFeed<LogEntry>> {
    if (options.nodeId !== undefined) assertNodeId(options.nodeId, "Cannot read the history of logs");
    return logHistory(this.#session, options);
  }

  /**
   * The events that the history has of the namespace and of the nodes, in the order of their times; further as
   * `logHistory`. Events of the nodes are left out where they are not kept.
   *
   * @throws NexError as `logHistory`
   */
  eventHistory(options: HistoryOptions = {}): Promise<HistoryFeed<EventEntry>> {
    return eventHistory(this.#session, options);
  }

  /**
   * The events of the namespace and of the nodes from now on.
   *
   * @throws NexError `connection_failed`
   */
  events(options: FeedOptions = {}): Feed<EventEntry> {
    const namespaces = new Set([this.namespace, systemNamespace]);
    return new Feed(this.connection, [...namespaces].map(eventWildcard), eventEntryOf, options);
  }

  /**
   * Calls a function, or whoever listens on the subject.
   *
   * @throws NexError `function_*` when the reply is an error, `node_not_found` when nobody listens, `timeout`, `usage`
   *   for what is not a subject, `request_too_large`
   */
  call(subject: string, payload: Uint8Array | string = "", options?: CallOptions): Promise<CallReply> {
    return call(this.connection, subject, payload, options);
  }

  /** Waits until the server has what was asked for so far, e.g. the subscription of a feed. */
  flush(): Promise<void> {
    return this.connection.flush();
  }

  /** Closes the connection, unless the client was given it. Idempotent. */
  async close(): Promise<void> {
    if (this.#own && !this.connection.isClosed()) await this.connection.close();
  }

  /** As `close`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
