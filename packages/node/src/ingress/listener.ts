/** The HTTP listener of a node: its server, the routes it hears of, and its ways to the functions. */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { NatsConnection } from "@nats-io/nats-core";
import { settlesWithin } from "@nexengine/machines/internal";
import { errorText, NexError } from "@nexengine/protocol/errors";
import type { RoutesWanted } from "@nexengine/protocol/messages";
import { routesSubject, routesWantedSubject } from "@nexengine/protocol/subjects";
import type { Logger } from "pino";
import type { Share } from "../budget/quota.ts";
import { type HttpConfig, listenAddress } from "../config/http.ts";
import type { Connections } from "../connections/connections.ts";
import { onReconnect } from "../connections/signals.ts";
import { triggerConnectionOf } from "../functions/triggers/connection-of.ts";
import { BearerTokens } from "./bearer.ts";
import { Exchange, type ExchangeParts } from "./exchange.ts";
import { Requester } from "./requester.ts";
import { failed } from "./response-message.ts";
import { RouteBook } from "./route-book.ts";
import { followRoutes } from "./route-feed.ts";

/** Maximum number of requests in work, and of those on one connection, which may be pipelined. */
const requestsMax = 4_096;
const requestsOfSocketMax = 16;
const headerBytesMax = 16_384;
const sweepMs = 1_000;
/** Time after the start in which routes may be unknown. */
const warmUpMs = 500;
/** Interval for looking for slow requests; it is shorter where their times are. */
const slowCheckMsMax = 5_000;
const drainMs = 5_000;
/** Interval and time for an address that the node before still has. */
const addressRetryMs = 100;
const addressTimeMs = 60_000;

export interface HttpListenerOptions {
  config: HttpConfig;
  connections: Connections;
  /** Time after which a copy that does not announce its routes is forgotten. */
  routesSilentMs: number;
  /** Whether the node is about to end. */
  isDraining(): boolean;
  /** Bytes of requests and responses in memory. */
  held: Share;
  log: Logger;
}

export class HttpListener implements AsyncDisposable {
  readonly #options: HttpListenerOptions;
  readonly #server: Server;
  readonly #book: RouteBook;
  readonly #requesters = new Map<NatsConnection, Requester>();
  readonly #ends: (() => void)[] = [];
  readonly #ofSockets = new WeakMap<Socket, number>();
  readonly #idHead = randomBytes(6).toString("hex");
  readonly #sweep: NodeJS.Timeout;
  #requests = 0;
  #count = 0;
  #startedMs = Date.now();
  #isClosed = false;

  private constructor(options: HttpListenerOptions) {
    const { config, routesSilentMs, log, held } = options;
    this.#options = options;
    this.#book = new RouteBook({ hosts: config.hosts, silentMs: routesSilentMs, log });
    this.#server = makeServer(config);
    const parts: ExchangeParts = {
      book: this.#book,
      tokens: new BearerTokens(),
      scheme: config.tls === undefined ? "http" : "https",
      bodyBytesMax: config.body_bytes_max,
      held,
      requesterOf: (namespace) => this.#requesterOf(namespace),
      isWarmingUp: () => Date.now() - this.#startedMs < warmUpMs,
    };
    this.#server.on("request", (request, response) => this.#take(request, response, parts, false));
    this.#server.on("checkContinue", (request, response) => this.#take(request, response, parts, true));
    this.#sweep = setInterval(() => this.#book.sweep(Date.now()), sweepMs);
    this.#sweep.unref();
  }

  /**
   * Listens, and asks for routes.
   *
   * @param isSuccessor Whether the node before may still have the address.
   * @throws NexError `port_taken`, `file_not_found`, `config_invalid`
   */
  static async start(options: HttpListenerOptions, isSuccessor: boolean): Promise<HttpListener> {
    const listener = new HttpListener(options);
    try {
      listener.#follow();
      await listener.#listen(isSuccessor);
    } catch (error) {
      await listener[Symbol.asyncDispose]();
      throw error;
    }
    options.log.info({ address: listener.address }, "HTTP requests are taken");
    return listener;
  }

  /** `127.0.0.1:8080` */
  get address(): string {
    const { address, family, port } = this.#server.address() as AddressInfo;
    return family === "IPv6" ? `[${address}]:${port}` : `${address}:${port}`;
  }

  async #listen(isSuccessor: boolean): Promise<void> {
    const { listen } = this.#options.config;
    const { host, port } = listenAddress(listen) ?? {};
    const endMs = Date.now() + (isSuccessor ? addressTimeMs : 0);
    for (;;) {
      try {
        this.#server.listen({ host, port });
        await once(this.#server, "listening");
        this.#startedMs = Date.now();
        return;
      } catch (cause) {
        const isTaken = (cause as NodeJS.ErrnoException).code === "EADDRINUSE";
        if (isTaken && Date.now() < endMs) {
          await sleep(addressRetryMs);
          continue;
        }
        throw new NexError("port_taken", `Cannot listen on ${listen} for HTTP: ${errorText(cause)}`, {
          cause,
          advice: "Choose another address in the configuration: http.listen",
        });
      }
    }
  }

  /** Believes announcements only on the connection by which the namespace acts. */
  #follow(): void {
    const { connections, log } = this.#options;
    for (const { namespace, opened } of connections.ofAllNamespaces) {
      void opened.then((connection) => {
        if (this.#isClosed) return;
        const unfollow = followRoutes(
          connection,
          namespace,
          (heard) => {
            const isBelieved = connections.connectionOf(heard.namespace) === connection;
            if (isBelieved) this.#book.hear(heard, Date.now());
          },
          (isRefused) => {
            if (isRefused)
              log.warn({ subject: routesSubject(namespace, "*") }, "NATS does not permit to hear routes");
          },
        );
        const ask = (): void => {
          const question: RoutesWanted = { version: 1 };
          if (!connection.isClosed()) connection.publish(routesWantedSubject, JSON.stringify(question));
        };
        this.#ends.push(unfollow, onReconnect(connection, ask));
        ask();
      });
    }
  }

  #requesterOf(namespace: string): Requester | undefined {
    const connection = this.#options.connections.connectionOf(namespace);
    if (connection === undefined || connection.isClosed()) return undefined;
    let requester = this.#requesters.get(connection);
    if (requester === undefined) {
      requester = new Requester(triggerConnectionOf(connection));
      this.#requesters.set(connection, requester);
    }
    return requester;
  }

  #take(request: IncomingMessage, response: ServerResponse, parts: ExchangeParts, expects: boolean): void {
    const { socket } = request;
    const ofSocket = (this.#ofSockets.get(socket) ?? 0) + 1;
    this.#ofSockets.set(socket, ofSocket);
    this.#requests++;
    response.once("close", () => {
      this.#requests--;
      this.#ofSockets.set(socket, (this.#ofSockets.get(socket) ?? 1) - 1);
    });
    // A client that breaks off has its own reasons.
    request.on("error", () => undefined);
    response.on("error", () => undefined);
    const id = `${this.#idHead}-${(this.#count++).toString(36)}`;
    const exchange = new Exchange(request, response, parts, id, expects);
    const wait = { "Retry-After": "1", Connection: "close" };
    if (this.#options.isDraining() || this.#isClosed)
      exchange.fail(failed(503, "The node is about to end", wait));
    else if (this.#requests > requestsMax || ofSocket > requestsOfSocketMax)
      exchange.fail(failed(503, "Too many requests are in work", wait));
    else exchange.start();
  }

  /** Takes no more requests, and waits a bounded time for those in work. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#sweep);
    for (const end of this.#ends.splice(0)) end();
    if (this.#server.listening) {
      const closed = once(this.#server, "close");
      this.#server.close();
      this.#server.closeIdleConnections();
      await settlesWithin(closed, drainMs);
      this.#server.closeAllConnections();
    }
    for (const requester of this.#requesters.values()) await requester[Symbol.asyncDispose]();
    this.#options.held.close();
  }
}

/** @throws NexError `file_not_found`, `config_invalid` */
function makeServer(config: HttpConfig): Server {
  const { tls, headers_timeout_ms: headersTimeout, request_timeout_ms: requestTimeout } = config;
  const options: ServerOptions = {
    headersTimeout: Math.min(headersTimeout, requestTimeout),
    requestTimeout,
    keepAliveTimeout: config.keep_alive_ms,
    connectionsCheckingInterval: Math.min(slowCheckMsMax, Math.max(100, headersTimeout / 2)),
    maxHeaderSize: headerBytesMax,
    insecureHTTPParser: false,
  };
  const server = tls === undefined ? createServer(options) : secureServer(options, tls);
  server.maxConnections = config.max_connections;
  // The size of all headers is limited. A limit of their number would drop those beyond it without a word.
  server.maxHeadersCount = 0;
  return server;
}

function secureServer(options: ServerOptions, { cert, key }: NonNullable<HttpConfig["tls"]>): Server {
  try {
    return createSecureServer({ ...options, cert: read(cert), key: read(key) });
  } catch (cause) {
    if (cause instanceof NexError) throw cause;
    // The text of the library may quote the key.
    throw new NexError(
      "config_invalid",
      `Cannot use "${cert}" and "${key}" for HTTPS: they are no certificate with its key`,
    );
  }
}

function read(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new NexError("file_not_found", `Cannot read "${path}" for HTTPS: ${errorText(cause)}`, { cause });
  }
}
