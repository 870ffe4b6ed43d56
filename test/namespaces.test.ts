/** A node that several namespaces share, as its configuration says: who may what, how much, and through what. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { NexClient } from "@nexengine/client";
import { NexError } from "@nexengine/protocol";
import { auctionWhySubject } from "@nexengine/protocol/subjects";
import type { NatsServer } from "@nexengine/provision";
import {
  newSigner,
  startTestNatsServer,
  startTestNexus,
  type TestDeployOptions,
  type TestNexus,
} from "@nexengine/testing";

const known = newSigner();
let nexus: TestNexus;
/** Where the namespace `apart` acts. */
let apart: NatsServer;

before(async () => {
  apart = await startTestNatsServer();
  nexus = await startTestNexus({
    tuning: { connectTimeMs: 500 },
    config: {
      valid_issuers: [known.publicKey],
      deny_trigger_subjects: ["node.>"],
      namespaces: {
        default: {},
        open: {
          valid_issuers: [newSigner().publicKey, known.publicKey],
          node_limits: { max_workloads: 1, max_workload_bytes: 100 },
          limits: { max: { call_time_ms: 1_000 } },
        },
        total: { node_limits: { max_total_bytes: 30 }, deny_trigger_subjects: ["mine.>"] },
        other: { valid_issuers: [newSigner().publicKey] },
        apart: { connection: { url: apart.url } },
      },
    },
  });
});
after(async () => {
  await nexus[Symbol.asyncDispose]();
  await apart.stop();
});

let count = 0;
function deploy(
  client: NexClient,
  options: TestDeployOptions = {},
  source = "() => 1",
  named = true,
): Promise<{ id: string }> {
  const name = options.name ?? `f${++count}`;
  const { publisher } = nexus;
  return client.deploy({
    ...{ issuer: known, publisher, name, type: "v8", triggerSubjects: [name] },
    artifact: { bytes: Buffer.from(source) },
    ...(named ? { node: nexus.node.id } : {}),
    ...options,
  });
}

async function refusal(act: Promise<unknown>): Promise<string> {
  const error = await act.then(
    () => assert.fail("it was accepted"),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof NexError, String(error));
  return error.code;
}

/** Why the node does not bid for a function of a namespace. */
async function why(namespace: string, extras: object = {}): Promise<string[]> {
  const request = { workload_types: ["v8"], nex: { version: 1, namespace, ...extras } };
  const answer = await nexus.client.connection.request(auctionWhySubject, JSON.stringify(request));
  return answer.json<{ data: { reasons: { code: string }[] } }>().data.reasons.map(({ code }) => code);
}

describe("a node with namespaces", () => {
  test("takes workloads of those that it lists, compared exactly, and bids for no other", async () => {
    await deploy(nexus.inNamespace("default"));
    for (const namespace of ["unlisted", "DEFAULT"]) {
      assert.equal(await refusal(deploy(nexus.inNamespace(namespace))), "namespace_unlisted");
      assert.deepEqual(await why(namespace), ["namespace_unlisted"]);
      const auction = deploy(nexus.inNamespace(namespace), {}, "() => 1", false);
      assert.equal(await refusal(auction), "no_node");
    }
    assert.deepEqual(await why("default"), []);
  });

  test("shows a namespace no workload of another that differs in case", async () => {
    const { node } = nexus;
    assert.ok((await nexus.inNamespace("default").info(node.id)).machines.length > 0);
    assert.deepEqual((await nexus.inNamespace("Default").info(node.id)).machines, []);
  });

  test("accepts a namespace's own issuers, and the node's where it has none", async () => {
    const stranger = newSigner();
    for (const [namespace, issuer, accepted] of [
      ["default", known, true],
      ["default", stranger, false],
      ["other", known, false],
    ] as const) {
      const deploying = deploy(nexus.inNamespace(namespace), { issuer });
      if (accepted) await deploying;
      else assert.equal(await refusal(deploying), "issuer_not_allowed", namespace);
      assert.deepEqual(
        await why(namespace, { issuer: issuer.publicKey }),
        accepted ? [] : ["issuer_not_allowed"],
      );
    }
  });

  test("holds a namespace to its own limits, and lets another be", async () => {
    const client = nexus.inNamespace("open");
    assert.equal(await refusal(deploy(client, { limits: { callTimeMs: 2_000 } })), "limit_too_high");
    assert.equal(await refusal(deploy(client, {}, `() => "${"x".repeat(100)}"`)), "artifact_too_large");
    assert.deepEqual(await why("open", { artifact_bytes: 101 }), ["artifact_too_large"]);
    await deploy(client);
    assert.equal(await refusal(deploy(client)), "workload_limit");
    assert.deepEqual(await why("open"), ["workload_limit"]);
    await deploy(nexus.inNamespace("default"), { limits: { callTimeMs: 2_000 } });
    const total = nexus.inNamespace("total");
    await deploy(total, {}, "() => 'twenty bytes'");
    assert.equal(await refusal(deploy(total, {}, "() => 'twenty bytes'")), "artifact_too_large");
  });

  test("denies triggers of the node's list and of the namespace's", async () => {
    const client = (namespace: string) => nexus.inNamespace(namespace);
    for (const [namespace, subject] of [
      ["default", "node.a"],
      ["total", "node.a"],
      ["total", "mine.a"],
    ] as const) {
      const refused = deploy(client(namespace), { triggerSubjects: [subject] });
      assert.equal(await refusal(refused), "trigger_denied", `${namespace} ${subject}`);
    }
    await deploy(client("default"), { triggerSubjects: ["mine.a"] });
  });

  test("acts for a namespace through its own connection, and lives on without it", async () => {
    const client = nexus.inNamespace("apart");
    // Its artifacts too come from there.
    assert.equal(await refusal(deploy(client)), "artifact_not_found");
    await apart.kill();
    assert.equal(await refusal(deploy(client)), "connection_unavailable");
    assert.deepEqual(await why("apart"), ["connection_unavailable"]);
    await deploy(nexus.inNamespace("default"));
    await apart.restart();
    let code = "connection_unavailable";
    while (code === "connection_unavailable") code = await refusal(deploy(client));
    assert.equal(code, "artifact_not_found");
    assert.deepEqual(await why("apart"), []);
  });
});

test("a node starts without a namespace's connection, and has it later", async () => {
  await using server = await startTestNatsServer();
  await server.kill();
  await using other = await startTestNexus({
    tuning: { connectTimeMs: 500 },
    config: { namespaces: { default: { connection: { url: server.url } } } },
  });
  assert.equal(await refusal(other.function("() => 1", { node: other.node.id })), "connection_unavailable");
  await server.restart();
  assert.equal(await refusal(other.function("() => 1", { node: other.node.id })), "artifact_not_found");
});
