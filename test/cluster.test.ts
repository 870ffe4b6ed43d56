/** A nexus over several servers: a cluster with replicated JetStream that loses one of them, and a leaf node. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { jetstreamManager } from "@nats-io/jetstream";
import { Objm } from "@nats-io/obj";
import { connectNex, NexClient } from "@nexengine/client";
import { createKey, curveKeyOfSeed } from "@nexengine/protocol";
import { newSigner, startTestNatsServer, startTestNode } from "@nexengine/testing";
import { Cluster, domain } from "./support/cluster.ts";

const nodeCount = 3;
const bucket = "NEXCLIFILES";
const deploysWhileDown = 3;
const issuer = newSigner();
const publisher = curveKeyOfSeed(createKey("curve").seed);

/** Tries again and again, for as long as the test may take. */
async function eventually<T>(work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

async function deploy(client: NexClient, name: string, node?: string): Promise<string> {
  const { nodeId } = await client.deploy({
    name,
    type: "v8",
    issuer,
    publisher,
    artifact: { bytes: Buffer.from("(s, p) => p") },
    triggerSubjects: [name],
    jsDomain: domain,
    timeoutMs: 5_000,
    ...(node === undefined ? {} : { node }),
  });
  return nodeId;
}

async function echoes(client: NexClient, subject: string, text: string): Promise<void> {
  const { data } = await client.call(subject, text, { timeoutMs: 1_000 });
  assert.equal(Buffer.from(data).toString(), text);
}

describe("a nexus of three nodes on a cluster of three servers", () => {
  test("goes on with deploys and calls when it loses a server, and when that comes back", async () => {
    await using cluster = await Cluster.start();
    await using stack = new AsyncDisposableStack();
    const client = stack.use(await connectNex({ servers: cluster.urls }));
    await eventually(() => new Objm(client.connection).create(bucket, { replicas: nodeCount }));
    const nodes = await Promise.all(
      cluster.urls.map((server, at) =>
        startTestNode({ server, login: { servers: cluster.urls.filter((_, other) => other !== at) } }),
      ),
    );
    for (const node of nodes) stack.use(node);
    // Each server has to hear from the others what is subscribed there.
    await eventually(async () => assert.equal((await client.nodes()).length, nodeCount));
    for (const { id } of nodes) assert.equal(await deploy(client, "shared", id), id);
    await echoes(client, "shared", "before");

    let calling = true;
    let answered = 0;
    const load = (async () => {
      while (calling) {
        await eventually(() => echoes(client, "shared", `call ${answered}`));
        answered++;
      }
    })();
    await cluster.servers[2]?.kill();
    for (let at = 0; at < deploysWhileDown; at++) {
      await eventually(() => deploy(client, `while-down-${at}`));
      await eventually(() => echoes(client, `while-down-${at}`, "x"));
    }
    await cluster.servers[2]?.restart();
    await eventually(async () => assert.equal((await client.nodes()).length, nodeCount));
    const sofar = answered;
    await eventually(async () => assert.ok(answered > sofar + 10));
    calling = false;
    await load;
    const workloads = await client.workloadDetails();
    // A deploy whose answer was lost may have been done twice; none is lost.
    for (let at = 0; at < deploysWhileDown; at++) {
      assert.ok(workloads.some(({ workload }) => workload.name === `while-down-${at}`));
    }
    assert.equal(workloads.filter(({ workload }) => workload.name === "shared").length, nodeCount);
  });

  test("has nodes on a leaf, which take artifacts from the cluster and calls from both sides", async () => {
    await using cluster = await Cluster.start();
    await using stack = new AsyncDisposableStack();
    const remotes = `leafnodes { remotes: [{ url: "nats-leaf://127.0.0.1:${cluster.leafPort}" }] }`;
    const leaf = stack.use(await startTestNatsServer({ jetstream: false, config: remotes }));
    const client = stack.use(await connectNex({ servers: cluster.urls }));
    await eventually(() => new Objm(client.connection).create(bucket, { replicas: nodeCount }));
    const node = stack.use(await startTestNode({ server: leaf.url }));
    await eventually(async () => assert.equal((await client.nodes()).length, 1));
    assert.equal(await eventually(() => deploy(client, "far")), node.id);
    await echoes(client, "far", "from the cluster");
    const near = stack.use(await connectNex({ servers: [leaf.url] }));
    await echoes(near, "far", "from the leaf");
  });

  test("refuses deploys in bounded time while JetStream has no leader, goes on with what runs, and makes up for removals", async () => {
    await using cluster = await Cluster.start();
    await using stack = new AsyncDisposableStack();
    const directory = mkdtempSync(join(tmpdir(), "nex-leaderless-"));
    stack.defer(() => rmSync(directory, { recursive: true, force: true }));
    const solo = stack.use(await startTestNatsServer());
    const [server = ""] = cluster.urls;
    const client = stack.use(await connectNex({ servers: [server] }));
    const soloClient = stack.use(await connectNex({ servers: [solo.url], namespace: "solo" }));
    await eventually(() => new Objm(client.connection).create(bucket, { replicas: nodeCount }));
    const node = stack.use(
      await startTestNode({
        ...{ server, directory },
        config: {
          ...{ durable: "kv", durable_replicas: nodeCount },
          namespaces: { "*": {}, solo: { connection: { url: solo.url } } },
        },
      }),
    );
    const bytes = Buffer.from("(s, p) => p");
    const here = await client.upload({ bytes }, { key: "late" });
    const there = await soloClient.upload({ bytes }, { key: "solo" });
    const common = { type: "v8" as const, issuer, publisher, node: node.id, timeoutMs: 60_000 };
    const inSolo = new NexClient(client.connection, "solo", false);
    await eventually(() => deploy(client, "runs", node.id));
    const removed = await inSolo.deploy({ ...common, name: "a", triggerSubjects: ["a"], artifact: there });
    const manager = await jetstreamManager(client.connection);
    const records = async () => (await manager.streams.info("KV_NEX_DEPLOYS_solo")).state.messages;
    await eventually(async () => assert.equal(await records(), 1));

    await Promise.all(cluster.servers.slice(1).map((one) => one.kill()));
    await eventually(() => echoes(client, "runs", "without a leader"));
    await echoes(soloClient, "a", "without a leader");
    const noArtifact = client.deploy({ ...common, name: "b", triggerSubjects: ["b"], artifact: here });
    await assert.rejects(noArtifact, {
      code: "artifact_unavailable",
      message: /JetStream/,
    });
    const noRecord = inSolo.deploy({ ...common, name: "c", triggerSubjects: ["c"], artifact: there });
    await assert.rejects(noRecord, { code: "state_unusable" });
    await inSolo.stop({ nodeId: node.id, workloadId: removed.id, name: "a", issuer });
    await echoes(client, "runs", "after refusals");

    await Promise.all(cluster.servers.slice(1).map((one) => one.restart()));
    await eventually(async () => assert.equal(await records(), 0));
    await eventually(() => client.deploy({ ...common, name: "b", triggerSubjects: ["b"], artifact: here }));
    await echoes(client, "b", "with a leader");
  });
});
