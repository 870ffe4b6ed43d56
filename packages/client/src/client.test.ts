import assert from "node:assert/strict";
import { test } from "node:test";
import { createXidMaker, xidPattern } from "@nexengine/protocol/formats";
import { newSigner, startTestNexus } from "@nexengine/testing";
import { type ClientOptions, connectNex, NexClient } from "./client.ts";
import { refusal, startBench } from "./testing/client.ts";

/** Credentials that servers ask for, and the login that fits. */
const logins: [string, string, ClientOptions][] = [
  ["nothing", "", {}],
  ["a user", "authorization { user: u, password: p }", { user: "u", password: "p" }],
  ["a token", "authorization { token: t }", { token: "t" }],
];
for (const [what, config, login] of logins) {
  test(`connectNex logs in where the server asks for ${what}`, async () => {
    await using bench = await startBench({ config, client: login });
    await using client = await bench.join({ ...login, name: "me" });
    assert.equal(client.namespace, "default");
    assert.deepEqual(await client.nodes({ timeoutMs: 600_000 }), []);
    if (config === "") return;
    assert.equal((await refusal(connectNex({ servers: [bench.url] }))).code, "connection_failed");
  });
}

test("connectNex says why it can't connect, without any secret", async () => {
  await using bench = await startBench({
    config: "authorization { user: u, password: right }",
    client: { user: "u", password: "right" },
  });
  const where = new URL(bench.url);
  const wrong = await refusal(connectNex({ servers: [`nats://u:swordfish@${where.host}`] }));
  assert.equal(wrong.code, "connection_failed");
  assert.match(wrong.message, new RegExp(`^Cannot connect to NATS at nats://${where.host}: `));
  assert.ok(!`${wrong.message} ${wrong.advice}`.includes("swordfish"));
  const nobody = await refusal(connectNex({ servers: ["nats://127.0.0.1:1"] }));
  assert.match(nobody.message, /connection refused/);
});

test("connectNex refuses what is no namespace, before it connects", async () => {
  for (const namespace of ["", "a b", "a.b", "*", ">", "x".repeat(65)]) {
    const error = await refusal(connectNex({ servers: ["nats://127.0.0.1:1"], namespace }));
    assert.equal(error.code, "namespace_invalid", namespace);
  }
});

test("a client closes its own connection, and leaves one that it was given", async () => {
  await using bench = await startBench();
  const connection = await bench.connection();
  const borrowing = await connectNex({ connection, namespace: "mine" });
  assert.equal(borrowing.namespace, "mine");
  await borrowing.close();
  await borrowing[Symbol.asyncDispose]();
  assert.equal(connection.isClosed(), false);
  const own = await bench.join({});
  await own.close();
  await own.close();
  assert.equal(own.connection.isClosed(), true);
});

test("with a real node: deploy, list, call, watch and stop", async () => {
  await using nexus = await startTestNexus();
  const { client, issuer } = nexus;
  await using events = client.events();
  await using logs = client.logs();
  await client.flush();
  const deployment = await nexus.function("(s, p) => { console.log('called'); return p; }", { name: "echo" });
  assert.match(deployment.id, xidPattern);
  assert.equal(deployment.nodeId, nexus.node.id);
  assert.equal(deployment.issuer, issuer.publicKey);

  const [node] = await client.nodes();
  assert.equal(node?.node_id, nexus.node.id);
  assert.equal(node?.running_machines, 1);
  const place = { id: deployment.id, name: "echo", namespace: "default", type: "v8" };
  const nodeName = deployment.nodeName;
  for (const idOrName of [undefined, "echo", deployment.id]) {
    assert.deepEqual(await client.workloads(idOrName), [{ ...place, nodeId: nexus.node.id, nodeName }]);
  }
  const [details] = await client.workloadDetails();
  assert.equal(details?.workload.hash, deployment.sha256);
  assert.deepEqual(await nexus.inNamespace("other").workloadDetails(), []);

  assert.equal(await nexus.call("echo", "hello"), "hello");
  for await (const { text, workloadId } of logs) {
    if (text !== "called") continue;
    assert.equal(workloadId, deployment.id);
    break;
  }
  await nexus.stop(deployment);
  for await (const { type, namespace } of events) {
    assert.ok(["default", "system"].includes(namespace));
    if (type === "workload_undeployed") break;
  }
  assert.deepEqual(await client.workloadDetails(), []);
  const again = { nodeId: deployment.nodeId, workloadId: deployment.id, name: "echo", issuer };
  assert.equal((await refusal(client.stop(again))).code, "no_such_workload");
});

test("with a real node: an object in a bucket is deployed with and without its digest, not with a wrong one", async () => {
  await using nexus = await startTestNexus();
  const { bucket, key, sha256 } = await nexus.client.upload(
    { bytes: Buffer.from("(s, p) => p") },
    { bucket: "MINE", key: "some/echo.js" },
  );
  const stored: [string, { bucket: string; key: string; sha256?: string }][] = [
    ["with", { bucket, key, sha256 }],
    ["without", { bucket, key }],
  ];
  for (const [name, artifact] of stored) {
    const deployment = await nexus.deploy(artifact, { name, type: "v8", triggerSubjects: [name] });
    assert.equal(deployment.sha256, sha256);
    assert.equal(await nexus.call(name, "hello"), "hello");
    await nexus.stop(deployment);
  }
  const wrong = { bucket, key, sha256: "0".repeat(64) };
  const refused = nexus.deploy(wrong, { name: "wrong", type: "v8", triggerSubjects: ["wrong"] });
  assert.equal((await refusal(refused)).code, "artifact_digest_mismatch");
  assert.deepEqual(await nexus.client.workloadDetails(), []);
});

test("with a real node: a deploy without JetStream says how to have it, and starts nothing", async () => {
  await using nexus = await startTestNexus({ natsServer: { jetstream: false } });
  const error = await refusal(nexus.function("(s, p) => p"));
  assert.equal(error.code, "upload_failed");
  assert.match(error.message, /JetStream is not enabled on this NATS server$/);
  assert.match(error.advice ?? "", /nats-server -js/);
  assert.deepEqual(await nexus.client.workloadDetails(), []);
});

test("with a real node: a stop by another issuer, of another name or in another namespace is refused", async () => {
  await using nexus = await startTestNexus();
  const { client, issuer } = nexus;
  const { id: workloadId, nodeId, name } = await nexus.function("(s, p) => p");
  const stranger = { ...nexus.publisher, publicKey: issuer.publicKey, sign: () => new Uint8Array(64) };
  const good = { nodeId, workloadId, name, issuer };
  assert.equal((await refusal(client.stop({ ...good, issuer: stranger }))).code, "token_invalid");
  assert.equal((await refusal(client.stop({ ...good, name: "other" }))).code, "stop_subject_mismatch");
  assert.equal((await refusal(client.stop({ ...good, issuer: newSigner() }))).code, "stop_issuer_mismatch");
  const elsewhere = new NexClient(client.connection, "other", false);
  assert.equal((await refusal(elsewhere.stop(good))).code, "no_such_workload");
  const made = createXidMaker(Date.now)();
  assert.equal((await refusal(client.stop({ ...good, workloadId: made }))).code, "no_such_workload");
  assert.equal((await client.stop(good)).stopped, true);
});

test("with a real node: lameDuck ends its bids", async () => {
  await using nexus = await startTestNexus();
  const { client, node } = nexus;
  assert.deepEqual(await client.lameDuck(node.id), { node_id: node.id, success: true });
  assert.equal((await refusal(nexus.function("(s, p) => p"))).code, "no_node");
});
