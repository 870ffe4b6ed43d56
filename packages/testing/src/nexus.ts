/** A whole nexus for a test: a server, a node and a client, in one line. */
import { type Artifact, connectNex, type Deployment, type DeployOptions, NexClient } from "@nexengine/client";
import type { NexNode } from "@nexengine/node/internal";
import {
  type CurveKey,
  createKey,
  curveKeyOfSeed,
  NexError,
  type Signer,
  signerOfSeed,
} from "@nexengine/protocol";
import type { NatsServer, StartNatsServerOptions } from "@nexengine/provision";
import { startTestNatsServer } from "./nats-server.ts";
import { startTestNode, type TestNodeOptions } from "./node.ts";
import { probeService } from "./samples.ts";

/** Options of a test's nexus; everything has a default. */
export interface TestNexusOptions extends Omit<TestNodeOptions, "server"> {
  natsServer?: Partial<StartNatsServerOptions>;
  namespace?: string;
}

/** Longer than any node of a test makes a deploy wait for its machine. */
const deployTimeoutMs = 110_000;

/** Options of a test's deploy. */
export type TestDeployOptions = Partial<DeployOptions>;

/** A running nexus; it is ended, in the right order, at the end of the block. */
export class TestNexus implements AsyncDisposable {
  readonly server: NatsServer;
  readonly node: NexNode;
  readonly client: NexClient;
  readonly issuer: Signer = newSigner();
  readonly publisher: CurveKey = curveKeyOfSeed(createKey("curve").seed);
  readonly #stack: AsyncDisposableStack;
  #names = 0;

  constructor(server: NatsServer, node: NexNode, client: NexClient, stack: AsyncDisposableStack) {
    this.server = server;
    this.node = node;
    this.client = client;
    this.#stack = stack;
  }

  /** Deploys a function; it is called on the subject that is its name. */
  function(source: string, options: TestDeployOptions = {}): Promise<Deployment> {
    const name = options.name ?? `f${++this.#names}`;
    return this.deploy(
      { bytes: Buffer.from(source) },
      { name, type: "v8", triggerSubjects: [name], ...options },
    );
  }

  /** Deploys the service that does what its arguments say, see fixtures/probe.c. */
  async probe(argv: readonly string[], options: TestDeployOptions = {}): Promise<Deployment> {
    const probe = await probeService();
    if (probe === undefined)
      throw new NexError("file_not_found", "Cannot deploy the probe: no C compiler builds it here");
    return this.deploy({ path: probe.path }, { name: `s${++this.#names}`, type: "native", argv, ...options });
  }

  deploy(artifact: Artifact, options: TestDeployOptions): Promise<Deployment> {
    const { issuer, publisher } = this;
    const timeoutMs = deployTimeoutMs;
    return this.client.deploy({ name: "workload", issuer, publisher, artifact, timeoutMs, ...options });
  }

  /** Calls a function and gives its reply as text. */
  async call(subject: string, payload: Uint8Array | string = ""): Promise<string> {
    return Buffer.from((await this.client.call(subject, payload)).data).toString();
  }

  /** Stops a deployment as its issuer. */
  async stop({ nodeId, id, name }: Deployment, issuer = this.issuer): Promise<void> {
    await this.client.stop({ nodeId, workloadId: id, name, issuer });
  }

  /** The same nexus in another namespace. */
  inNamespace(namespace: string): NexClient {
    return new NexClient(this.client.connection, namespace, false);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

/** A fresh account key. */
export function newSigner(): Signer {
  return signerOfSeed(createKey("account").seed);
}

/** Starts a nats-server with JetStream, a node with process machines, and a client. */
export async function startTestNexus(options: TestNexusOptions = {}): Promise<TestNexus> {
  const { natsServer, namespace, ...node } = options;
  await using stack = new AsyncDisposableStack();
  const server = stack.use(await startTestNatsServer(natsServer));
  const started = stack.use(await startTestNode({ ...node, server: server.url }));
  const { tls } = node.login ?? {};
  const client = stack.use(
    await connectNex({
      servers: [server.url],
      ...(tls === undefined ? {} : { tls }),
      ...(namespace === undefined ? {} : { namespace }),
    }),
  );
  return new TestNexus(server, started, client, stack.move());
}
