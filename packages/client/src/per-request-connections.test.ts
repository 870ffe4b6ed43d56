import assert from "node:assert/strict";
import { test } from "node:test";
import { nodeFeatures } from "@nexengine/protocol/messages";
import { openRequest } from "@nexengine/protocol/tokens";
import { refusal, startBench } from "./testing/client.ts";
import type { Body, ScriptedNode } from "./testing/scripted-node.ts";

const triggerConnection = { url: "nats://a", jwt: "a.b.c", seed: "swordfish\n" };

test("a deploy's per-request connections are sealed, and stand nowhere else in it", async () => {
  await using bench = await startBench();
  const node = await bench.node();
  const options = bench.functionOptions({ triggerConnection, hostServices: { seed: "hunter2" } });
  await bench.client.deploy(options);
  const [sent] = node.deploys;
  assert.doesNotMatch(JSON.stringify(sent), /swordfish|a\.b\.c|hunter2|trigger_connection|host_services/);
  const who = { issuer: options.issuer.publicKey, namespace: bench.client.namespace, name: options.name };
  const { sealed } = Object(sent?.["nex"]) as Body;
  const opened = openRequest(String(sealed), who, node.xkey, bench.publisher.publicKey);
  assert.deepEqual(opened.trigger_connection, {
    ...{ nats_url: "nats://a", nats_user_jwt: "a.b.c", nats_user_seed: "swordfish" },
  });
  assert.deepEqual(opened.host_services, { nats_url: "", nats_user_jwt: "", nats_user_seed: "hunter2" });
});

test("a deploy's per-request connections go to no node that can't be told in secret, and the refusal says so", async () => {
  const without = (node: ScriptedNode): Body => ({
    nex: { ...node.extras, features: nodeFeatures.filter((name) => name !== "sealed-request") },
  });
  for (const kind of [{ extras: false }, { auction: without, info: without }] as const) {
    await using bench = await startBench({ client: { allowGoNodes: true } });
    const node = await bench.node(kind);
    const options = bench.functionOptions({ triggerConnection });
    for (const place of [{}, { node: node.id }]) {
      const error = await refusal(bench.client.deploy({ ...options, ...place }));
      assert.equal(error.code, "feature_missing");
      assert.match(error.message, /per-request connections are sent sealed or not at all/);
    }
    assert.deepEqual(node.deploys, []);
    await bench.client.deploy(bench.functionOptions({ triggerConnection: {} }));
    assert.equal(node.deploys.length, 1);
  }
});

test("a service has no per-request connections", async () => {
  await using bench = await startBench();
  await bench.node();
  const options = bench.functionOptions({ type: "native", triggerSubjects: [], hostServices: { seed: "x" } });
  const artifact = { bucket: "b", key: "k", sha256: "0".repeat(64) };
  assert.equal((await refusal(bench.client.deploy({ ...options, artifact }))).code, "usage");
});
