/** A server and a client of it, and what a test deploys. */
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { NexError } from "@nexengine/protocol/errors";
import {
  type CurveKey,
  createKey,
  curveKeyOfSeed,
  type Signer,
  signerOfSeed,
} from "@nexengine/protocol/tokens";
import { startTestNatsServer } from "@nexengine/testing";
import { type ClientOptions, connectNex, type NexClient } from "../client.ts";
import type { DeployOptions } from "../deploy.ts";
import { type Script, type ScriptedNode, startScriptedNode } from "./scripted-node.ts";

export class TestBench implements AsyncDisposable {
  readonly url: string;
  readonly client: NexClient;
  readonly issuer: Signer = signerOfSeed(createKey("account").seed);
  readonly publisher: CurveKey = curveKeyOfSeed(createKey("curve").seed);
  readonly #stack: AsyncDisposableStack;

  constructor(url: string, client: NexClient, stack: AsyncDisposableStack) {
    this.url = url;
    this.client = client;
    this.#stack = stack;
  }

  /** Adds a node; it ends with the bench. */
  async node(script: Script = {}): Promise<ScriptedNode> {
    return this.#stack.use(await startScriptedNode(this.url, script));
  }

  /** Adds a client. */
  async join(options: ClientOptions): Promise<NexClient> {
    return this.#stack.use(await connectNex({ servers: [this.url], ...options }));
  }

  /** Adds a bare connection. */
  async connection(): Promise<NatsConnection> {
    const connection = await connect({ servers: [this.url] });
    this.#stack.defer(() => connection.close());
    return connection;
  }

  /** A small function, and who deploys it. */
  functionOptions(options: Partial<DeployOptions> = {}): DeployOptions {
    return {
      name: "echo",
      type: "v8",
      artifact: { bytes: Buffer.from("(s, p) => p") },
      triggerSubjects: ["echo"],
      issuer: this.issuer,
      publisher: this.publisher,
      ...options,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

/** Options of a bench. */
export interface BenchOptions {
  /** More configuration of the server. */
  config?: string;
  jetstream?: boolean;
  client?: ClientOptions;
}

/** Starts a server with a client. */
export async function startBench({ client: options, ...server }: BenchOptions = {}): Promise<TestBench> {
  await using stack = new AsyncDisposableStack();
  const { url } = stack.use(await startTestNatsServer(server));
  const client = stack.use(await connectNex({ servers: [url], ...options }));
  return new TestBench(url, client, stack.move());
}

/** The error that a promise is rejected with, which must be one of ours. */
export async function refusal(promise: Promise<unknown>): Promise<NexError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof NexError) return error;
    throw error;
  }
  throw new RangeError("nothing was thrown");
}
