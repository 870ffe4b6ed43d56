/** A connection of the configuration: opened at start, and reconnected for ever. */

import type { NatsConnection } from "@nats-io/nats-core";
import { settlesWithin } from "@nexengine/machines/internal";
import { errorText, NexError } from "@nexengine/protocol/errors";
import type { NatsLogin } from "@nexengine/protocol/nats";
import type { Logger } from "pino";
import { closeConnection, connectWithin } from "./connect.ts";
import { followLosses } from "./losses.ts";

const retryFirstMs = 1_000;
const retryMaxMs = 30_000;

/** Options for a kept connection. */
export interface KeptConnectionOptions {
  /** Its purpose, for log lines and errors: `the namespace "acme"`. */
  purpose: string;
  login: NatsLogin;
  /** Timeout of an attempt, and of a deploy that waits for the connection. */
  connectTimeMs: number;
  log: Logger;
}

/**
 * Any failure is retried, also a refused login: the operator may fix it, and workloads on the connection
 * go on.
 */
export class KeptConnection implements AsyncDisposable {
  readonly #options: KeptConnectionOptions;
  #connection: NatsConnection | undefined;
  readonly #opened = Promise.withResolvers<NatsConnection>();
  #isConnected = false;
  #whyNot = "it is not open yet";
  #change = Promise.withResolvers<void>();
  #retry: NodeJS.Timeout | undefined;
  #retryMs = retryFirstMs;
  #opening: Promise<void>;
  #isClosed = false;

  constructor(options: KeptConnectionOptions) {
    this.#options = options;
    this.#opening = this.#open();
  }

  get isConnected(): boolean {
    return this.#isConnected;
  }

  /** The connection, also while it is lost; `undefined` before it is open for the first time. */
  get connection(): NatsConnection | undefined {
    return this.#connection;
  }

  /** Settles when it is open for the first time. */
  get opened(): Promise<NatsConnection> {
    return this.#opened.promise;
  }

  /** Settles after the first attempt. */
  get tried(): Promise<void> {
    return this.#opening;
  }

  /**
   * Waits for the connection.
   *
   * @throws NexError `connection_unavailable`
   */
  async ready(): Promise<NatsConnection> {
    if (!this.#isConnected) {
      this.#retryNow();
      await this.#wait();
    }
    if (this.#isConnected && this.#connection !== undefined) return this.#connection;
    throw new NexError(
      "connection_unavailable",
      `Cannot start a workload: the node's connection for ${this.#options.purpose} is not there: ${this.#whyNot}`,
      { advice: "Try again later; the node tries to connect meanwhile" },
    );
  }

  #retryNow(): void {
    if (this.#retry === undefined || this.#isClosed) return;
    clearTimeout(this.#retry);
    this.#retry = undefined;
    this.#opening = this.#open();
  }

  async #wait(): Promise<void> {
    if (this.#isClosed) return;
    await settlesWithin(this.#change.promise, this.#options.connectTimeMs);
  }

  async #open(): Promise<void> {
    const { login, connectTimeMs, purpose, log } = this.#options;
    try {
      const connection = await connectWithin(login, connectTimeMs, { ignoreAuthErrorAbort: true });
      if (this.#isClosed) {
        await closeConnection(connection);
        return;
      }
      this.#connection = connection;
      this.#opened.resolve(connection);
      this.#set(true, "");
      void this.#watch(connection);
    } catch (error) {
      if (this.#isClosed) return;
      // Waiters do not wait for the next attempt.
      this.#set(false, errorText(error));
      log.error({ reason: errorText(error) }, `no connection for ${purpose}; it is tried again`);
      this.#retry = setTimeout(() => this.#retryNow(), this.#retryMs);
      this.#retryMs = Math.min(this.#retryMs * 2, retryMaxMs);
    }
  }

  #watch(connection: NatsConnection): Promise<void> {
    const { purpose, log } = this.#options;
    return followLosses(connection, {
      lost: () => {
        this.#set(false, "it was lost");
        log.warn(`the connection for ${purpose} was lost; it is tried again`);
      },
      refused: (reason, isLogin) => {
        this.#whyNot = reason;
        const what = isLogin ? "the login" : "the connection";
        log.error({ reason }, `NATS refuses ${what} for ${purpose}; it is tried again`);
      },
      back: () => {
        this.#set(true, "");
        log.info(`the connection for ${purpose} is back`);
      },
    });
  }

  #set(isConnected: boolean, whyNot: string): void {
    this.#isConnected = isConnected;
    this.#whyNot = whyNot;
    this.#change.resolve();
    this.#change = Promise.withResolvers();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#retry);
    const wasConnected = this.#isConnected;
    this.#set(false, "the node is stopping");
    await this.#opening;
    if (wasConnected && this.#connection !== undefined) await closeConnection(this.#connection);
    else await this.#connection?.close();
  }
}
