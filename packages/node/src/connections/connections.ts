/** All NATS connections of a node: its own, those of its configuration, and per-request ones. */
import type { NatsConnection } from "@nats-io/nats-core";
import { errorText, NexError } from "@nexengine/protocol/errors";
import type { NatsLogin } from "@nexengine/protocol/nats";
import type { Logger } from "pino";
import { closeConnection } from "./connect.ts";
import { connectAtStart } from "./first-connection.ts";
import { KeptConnection } from "./kept-connection.ts";
import type { NamespaceLogin } from "./logins.ts";
import { followLosses } from "./losses.ts";
import { openPerRequestConnection, type PerRequestConnection } from "./per-request-connection.ts";

/** Connections of one workload. */
export interface WorkloadConnections extends AsyncDisposable {
  /** For triggers and their replies. */
  readonly triggers: NatsConnection;
  /** Whether the trigger connection is the namespace's or the request's own. Its permissions are theirs then. */
  readonly hasOwnTriggers: boolean;
  /** For host services. */
  readonly hostServices: NatsConnection;
  /** For reading its artifact. */
  readonly artifacts: NatsConnection;
  /** JetStream domain of artifacts when the request names none. */
  readonly jsDomain: string | undefined;
}

/** A request for the connections of a workload. */
export interface ConnectionsRequest {
  namespace: string;
  /** Only functions have triggers and host services. */
  isFunction: boolean;
  /** Per-request connections. */
  own: readonly PerRequestConnection[];
  /** Called when a per-request connection was closed for good. */
  lost(why: string): void;
}

/** Options for the connections of a node. */
export interface ConnectionsOptions {
  /** The node's own login. */
  login: NatsLogin;
  /** Logins of listed namespaces, `*` for all others; `undefined` means the node's own. */
  ofNamespaces: Readonly<Record<string, NamespaceLogin | undefined>>;
  /** For host services of namespaces without a connection. */
  hostServices: NatsLogin | undefined;
  connectTimeMs: number;
  /** Time that NATS may take to be there at the start; without it, the first failure is the last. */
  startWaitMs?: number;
  /** Maximum number of per-request connections. */
  requestConnectionsMax: number;
  log: Logger;
}

interface OfNamespace extends NamespaceLogin {
  kept: KeptConnection;
}

/**
 * A namespace acts through its own connection; per-request connections take precedence. While a kept connection is down,
 * workloads that need it cannot start; nothing else stops.
 */
export class Connections implements AsyncDisposable {
  /** The node's own: control requests, answers, events and logs. */
  readonly own: NatsConnection;
  readonly #options: ConnectionsOptions;
  /** By namespace; `*` for those that are not listed. */
  readonly #ofNamespaces = new Map<string, OfNamespace | undefined>();
  readonly #hostServices: KeptConnection | undefined;
  #ofRequests = 0;

  private constructor(own: NatsConnection, options: ConnectionsOptions) {
    this.own = own;
    this.#options = options;
    for (const [namespace, given] of Object.entries(options.ofNamespaces)) {
      const purpose = namespace === "*" ? "all other namespaces" : `the namespace "${namespace}"`;
      this.#ofNamespaces.set(namespace, given && { ...given, kept: this.#keep(purpose, given.login) });
    }
    if (options.hostServices !== undefined) {
      this.#hostServices = this.#keep("host services", options.hostServices);
    }
  }

  /**
   * Connects, and tries the kept connections once. A failed one is retried in the background.
   *
   * @throws NexError `connection_failed` for the node's own connection.
   */
  static async open(options: ConnectionsOptions): Promise<Connections> {
    const own = await connectAtStart(options.login, options.startWaitMs ?? 0, options.log);
    void tellOfLosses(own, options.log);
    const connections = new Connections(own, options);
    await Promise.all([...connections.#all()].map((kept) => kept.tried));
    return connections;
  }

  #keep(purpose: string, login: NatsLogin): KeptConnection {
    const { connectTimeMs, log } = this.#options;
    return new KeptConnection({ purpose, login, connectTimeMs, log });
  }

  *#all(): Iterable<KeptConnection> {
    for (const one of this.#ofNamespaces.values()) if (one !== undefined) yield one.kept;
    if (this.#hostServices !== undefined) yield this.#hostServices;
  }

  #of(namespace: string): OfNamespace | undefined {
    return this.#ofNamespaces.get(this.#ofNamespaces.has(namespace) ? namespace : "*");
  }

  /** Login of a namespace. */
  loginOf(namespace: string): NatsLogin {
    return this.#of(namespace)?.login ?? this.#options.login;
  }

  /** The connection of a namespace, also while it is lost; `undefined` before it is open for the first time. */
  connectionOf(namespace: string): NatsConnection | undefined {
    const ofNamespace = this.#of(namespace);
    return ofNamespace === undefined ? this.own : ofNamespace.kept.connection;
  }

  /** The connections by which namespaces act, each with its namespace, or `*`. They settle when they are open. */
  get ofAllNamespaces(): { namespace: string; opened: Promise<NatsConnection> }[] {
    const own = Promise.resolve(this.own);
    if (this.#ofNamespaces.size === 0) return [{ namespace: "*", opened: own }];
    return [...this.#ofNamespaces].map(([namespace, one]) => ({
      namespace,
      opened: one === undefined ? own : one.kept.opened,
    }));
  }

  /** Whether the connection of a namespace is up. */
  isConnected(namespace: string): boolean {
    return this.#of(namespace)?.kept.isConnected ?? true;
  }

  /**
   * Connections for a workload. Its per-request ones are closed when the result is disposed.
   *
   * @throws NexError `connection_unavailable`, `connection_limit`, `connection_failed`, `connection_not_allowed`
   */
  async of({ namespace, isFunction, own, lost }: ConnectionsRequest): Promise<WorkloadConnections> {
    await using stack = new AsyncDisposableStack();
    const ofNamespace = this.#of(namespace);
    const usual = ofNamespace === undefined ? this.own : await ofNamespace.kept.ready();
    const opened = new Map<string, NatsConnection>();
    for (const one of own) opened.set(one.what, await this.#openOwn(one, lost, stack));
    const hostServices =
      opened.get("host_services") ??
      (isFunction && ofNamespace === undefined ? await this.#hostServices?.ready() : undefined) ??
      usual;
    const held = stack.move();
    return {
      triggers: opened.get("trigger_connection") ?? usual,
      hasOwnTriggers: ofNamespace !== undefined || opened.has("trigger_connection"),
      hostServices,
      artifacts: usual,
      jsDomain: ofNamespace?.jsDomain,
      [Symbol.asyncDispose]: () => held.disposeAsync(),
    };
  }

  async #openOwn(
    own: PerRequestConnection,
    lost: (why: string) => void,
    stack: AsyncDisposableStack,
  ): Promise<NatsConnection> {
    const { requestConnectionsMax, connectTimeMs } = this.#options;
    if (this.#ofRequests >= requestConnectionsMax) {
      throw new NexError(
        "connection_limit",
        `Failed to deploy workload: the node holds ${requestConnectionsMax} connections of requests, and takes no more`,
        { advice: "Try another node, or stop a workload with a connection of its own" },
      );
    }
    this.#ofRequests++;
    stack.defer(() => {
      this.#ofRequests--;
    });
    const connection = await openPerRequestConnection(own, connectTimeMs);
    let isWanted = true;
    stack.defer(async () => {
      isWanted = false;
      await closeConnection(connection);
    });
    void connection.closed().then((error) => {
      if (isWanted) lost(`its ${own.what} was closed for good${error ? `: ${errorText(error)}` : ""}`);
    });
    return connection;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#all()].map((kept) => kept[Symbol.asyncDispose]()));
    await closeConnection(this.own);
  }
}

/** Logs losses: a node without its server gets no requests and no calls, and its operator must know. */
function tellOfLosses(connection: NatsConnection, log: Logger): Promise<void> {
  return followLosses(connection, {
    lost: (server) => log.warn({ server }, "the connection to NATS was lost; it is tried again"),
    refused: (reason, isLogin) =>
      log.error({ reason }, `NATS refuses the node${isLogin ? "'s login" : ""}; it is tried again`),
    back: (server) => log.info({ server }, "the connection to NATS is back"),
  });
}
