import assert from "node:assert/strict";
import { test } from "node:test";
import { nodeFeatures } from "@nexengine/protocol/messages";
import { refusal, startBench } from "./testing/client.ts";
import type { Body, ScriptedNode } from "./testing/scripted-node.ts";

const limits = { memoryBytes: 2 ** 28, network: "none" } as const;
const wire = { memory_bytes: 2 ** 28, network: "none" };

/** The additions of a node of ours that was made before there were limits. */
function withoutLimits(node: ScriptedNode): Body {
  return { nex: { ...node.extras, features: nodeFeatures.filter((name) => name !== "limits") } };
}

test("a deploy with limits requires them of its node, and its auction names them", async () => {
  await using bench = await startBench();
  const node = await bench.node();
  await bench.client.deploy(bench.functionOptions({ limits, concurrency: 2 }));
  const { workload_types, nex } = node.auctions[0] ?? {};
  assert.deepEqual(workload_types, ["v8"]);
  assert.deepEqual((nex as { limits: unknown }).limits, wire);
  const { sealed, ...extras } = (node.deploys[0]?.["nex"] ?? {}) as Body;
  assert.equal(typeof sealed, "string");
  assert.deepEqual(extras, {
    version: 1,
    requires: ["bound-claims", "sealed-request", "concurrency", "limits"],
    concurrency: 2,
    limits: wire,
  });
});

test("limits that say nothing leave no trace in a deploy", async () => {
  await using bench = await startBench({ client: { allowGoNodes: true } });
  const node = await bench.node({ extras: false });
  await bench.client.deploy(bench.functionOptions({ limits: { egressAllow: [], publish: [] } }));
  assert.ok(!("limits" in Object(node.auctions[0]?.["nex"])));
  assert.ok(!("nex" in (node.deploys[0] ?? {})));
});

test("limits that can't be are refused before anybody is asked", async () => {
  await using bench = await startBench();
  const node = await bench.node();
  const error = await refusal(bench.client.deploy(bench.functionOptions({ limits: { memoryBytes: 1 } })));
  assert.equal(error.code, "limits_invalid");
  assert.deepEqual([node.auctions, node.deploys], [[], []]);
});

test("a deploy with limits passes over nodes that do not know them", async () => {
  await using bench = await startBench();
  const others = [
    await bench.node({ extras: false }),
    await bench.node({ auction: withoutLimits, info: withoutLimits }),
  ];
  const options = bench.functionOptions({ limits });
  const error = await refusal(bench.client.deploy(options));
  assert.equal(error.code, "feature_missing");
  assert.match(error.message, /it needs "limits", none of the 2 nodes that bid does know it$/);
  const node = await bench.node();
  assert.equal((await bench.client.deploy(options)).nodeId, node.id);
  for (const { id, deploys } of others) {
    assert.equal((await refusal(bench.client.deploy({ ...options, node: id }))).code, "feature_missing");
    assert.deepEqual(deploys, []);
  }
});

test("limits for which no node bids are named in the refusal", async () => {
  await using bench = await startBench();
  await bench.node({ auction: () => "silence" });
  const error = await refusal(bench.client.deploy(bench.functionOptions({ limits })));
  assert.equal(error.code, "no_node");
  assert.match(error.message, /asked for type v8, memory_bytes 268435456, network "none", the one node/);
});

test("a deployment says where its ports are reached", async () => {
  await using bench = await startBench();
  const published = [{ machine_port: 80, host: "127.0.0.1", host_port: 8080 }];
  const node = await bench.node({
    deploy: () => ({ issuer: bench.issuer.publicKey, name: "echo", nex: { version: 1, published } }),
  });
  const deployment = await bench.client.deploy(bench.functionOptions({ node: node.id }));
  assert.deepEqual(deployment.published, published);
});
