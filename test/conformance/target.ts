/**
 * The node that the suite asks: one that is reached by the URL of its NATS server, or one of ours that is started here.
 *
 * - `NEX_CONFORMANCE_URL`: the server; a node and a server are started when it is absent.
 * - `NEX_CONFORMANCE_CREDS`: a credentials file for it.
 * - `NEX_CONFORMANCE_NODE`: the node's id; else the one node that answers PING.
 * - `NEX_CONFORMANCE_ISSUER`: the seed of an issuer that the node accepts; else a fresh key.
 * - `NEX_CONFORMANCE_LAMEDUCK`: set, the node is put into lame duck mode in the end.
 */
import { readFileSync } from "node:fs";
import { connectNex, type NexClient } from "@nexengine/client";
import { type CurveKey, createKey, curveKeyOfSeed, type Signer, signerOfSeed } from "@nexengine/protocol";
import { newSigner, startTestNexus, type TestNexus } from "@nexengine/testing";
import type { Asked } from "../support/ask.ts";

/** How long the answers of a foreign node are waited for before their absence counts as silence. */
const foreignLateMs = 400;
/** Heartbeats of a node that is started here come so often. */
const ownHeartbeatMs = 500;
/** The JetStream domain of a server that is started here. */
const ownDomain = "conformance";

/** The node that is asked, and who asks. */
export interface Target extends Asked, AsyncDisposable {
  client: NexClient;
  /** The node's public xkey. */
  xkey: string;
  issuer: Signer;
  publisher: CurveKey;
  /** A namespace that nobody else uses. */
  namespace: string;
  /** The types of workload that it offers. */
  types: readonly string[];
  /** It says that it has our additions. */
  ours: boolean;
  /** It was started here. */
  own: TestNexus | undefined;
  /** It may be put into lame duck mode. */
  mayEnd: boolean;
  /** Ends a thing with the suite, before the node. */
  use<T extends AsyncDisposable>(thing: T): T;
}

/** Finds or starts the node that is asked. */
export async function openTarget(): Promise<Target> {
  const url = process.env["NEX_CONFORMANCE_URL"];
  await using stack = new AsyncDisposableStack();
  const own = url === undefined ? stack.use(await startOwn()) : undefined;
  const client = own?.client ?? stack.use(await connectNex(login(url ?? "")));
  const nodeId = own?.node.id ?? process.env["NEX_CONFORMANCE_NODE"] ?? (await onlyNode(client));
  const info = await client.info(nodeId);
  const seed = process.env["NEX_CONFORMANCE_ISSUER"];
  const opened = stack.move();
  return {
    client,
    connection: client.connection,
    nodeId,
    lateMs: own === undefined ? foreignLateMs : 0,
    xkey: info.public_xkey,
    issuer: seed === undefined ? newSigner() : signerOfSeed(seed),
    publisher: curveKeyOfSeed(createKey("curve").seed),
    namespace: `Conf-${process.pid}`,
    types: info.supported_workload_types ?? [],
    ours: info.nex !== undefined,
    own,
    mayEnd: own !== undefined || process.env["NEX_CONFORMANCE_LAMEDUCK"] !== undefined,
    use: (thing) => opened.use(thing),
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

function startOwn(): Promise<TestNexus> {
  return startTestNexus({
    natsServer: { config: `jetstream { domain: ${ownDomain} }` },
    config: {
      tags: { "conformance.Key": "Value" },
      deny_trigger_subjects: ["denied.>"],
      machine_pool_size: 2,
      workload_types: ["native", "v8", "wasm"],
    },
    tuning: { heartbeatMs: ownHeartbeatMs },
  });
}

function login(url: string): Parameters<typeof connectNex>[0] {
  const path = process.env["NEX_CONFORMANCE_CREDS"];
  // The suite asks Go nodes too.
  return {
    servers: [url],
    allowGoNodes: true,
    ...(path === undefined ? {} : { credentials: readFileSync(path, "utf8") }),
  };
}

async function onlyNode(client: NexClient): Promise<string> {
  const nodes = await client.nodes();
  const [first] = nodes;
  if (first !== undefined && nodes.length === 1) return first.node_id;
  throw new RangeError(`${nodes.length} nodes answer: name one with NEX_CONFORMANCE_NODE`);
}
