/** Every connection to NATS that a node has: its own, those of its configuration, and those of single requests. */
import type { NatsConnection } from "@nats-io/nats-core";
import { errorText, type NatsLogin, NexError } from "@nexengine/protocol/internal";
import type { Logger } from "pino";
import { closeConnection, connectNats } from "./connect.ts";
import { KeptConnection } from "./kept-connection.ts";
import type { NamespaceLogin } from "./logins.ts";
import { type OwnConnection, openOwnConnection } from "./own-connection.ts";

/** What one workload acts through. */
export interface WorkloadConnections extends AsyncDisposable {
  /** Where its triggers are subscribed, and answered. */
  readonly triggers: NatsConnection;
  /** Is that connection the namespace's or the request's, and not the node's? Then its permissions are theirs. */
  readonly hasOwnTriggers: boolean;
  /** What its host services may reach. */
  readonly hostServices: NatsConnection;
  /** Where its artifact is read. */
  readonly artifacts: NatsConnection;
  /** JetStream domain of artifacts, where the request names none. */
  readonly jsDomain: string | undefined;
}

/** Whose connections are wanted. */
export interface ConnectionsRequest {
  namespace: string;
  /** Only functions have triggers and host services. */
  isFunction: boolean;
  /** Connections that the request brought along. */
  own: readonly OwnConnection[];
  /** Called when one of the request's own was closed for good. */
  lost(why: string): void;
}

/** What the connections of a node are made of. */
export interface ConnectionsOptions {
  /** The node's own. */
  login: NatsLogin;
  /** Those of the namespaces that are listed, `*` being those that are not; `undefined` for the node's own. */
  ofNamespaces: Readonly<Record<string, NamespaceLogin | undefined>>;
  /** For the host services of namespaces without one of their own. */
  hostServices: NatsLogin | undefined;
  connectTimeMs: number;
  /** Of requests' own, all together. */
  requestConnectionsMax: number;
  log: Logger;
}

interface OfNamespace extends NamespaceLogin {
  kept: KeptConnection;
}

/**
 * A namespace acts through its own connection, and a request's own ones win for what they are for. A kept connection that
 * is not there keeps workloads from starting, and nothing else.
 */
export class Connections implements AsyncDisposable {
  /** The node's own: requests to the node, its answers, events and logs. */
  readonly own: NatsConnection;
  readonly #options: ConnectionsOptions;
  /** By namespace, `*` for those that are not listed. */
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
   * Logs in, and tries the kept connections once; one that fails is tried again, and ends nothing.
   *
   * @throws NexError `connection_failed` of the node's own.
   */
  static async open(options: ConnectionsOptions): Promise<Connections> {
    // A refused login, as after a rotated password, is tried again too: what runs goes on meanwhile.
    const own = await connectNats(options.login, { ignoreAuthErrorAbort: true });
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

  /** The login by which a namespace acts. */
  loginOf(namespace: string): NatsLogin {
    return this.#of(namespace)?.login ?? this.#options.login;
  }

  /** Is what a namespace acts through there now? */
  isConnected(namespace: string): boolean {
    return this.#of(namespace)?.kept.isConnected ?? true;
  }

  /**
   * What a workload acts through; its own connections are closed with what is returned.
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
    own: OwnConnection,
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
    const connection = await openOwnConnection(own, connectTimeMs);
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

/** A node without its server can't be asked, and its functions get no calls: whoever runs it has to hear of it. */
async function tellOfLosses(connection: NatsConnection, log: Logger): Promise<void> {
  for await (const status of connection.status()) {
    if (status.type === "disconnect") {
      log.warn({ server: status.server }, "the connection to NATS was lost; it is tried again");
    } else if (status.type === "reconnect") {
      log.info({ server: status.server }, "the connection to NATS is back");
    }
  }
}
