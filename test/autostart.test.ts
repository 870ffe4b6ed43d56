/** Workloads that a node starts by itself. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { connectNex, type NexClient } from "@nexengine/client";
import { createKey, signerOfSeed } from "@nexengine/protocol";
import { eventOf, startTestNatsServer, startTestNexus, startTestNode } from "@nexengine/testing";
import { eventually } from "../packages/testing/src/observe.ts";
import { jetStreamOf, publishAll, Told, tellerSource } from "./support/triggered.ts";

const name = "early";
const entry = {
  name,
  namespace: "default",
  type: "v8",
  location: "nats://NEXCLIFILES/early",
  trigger_subjects: [name],
};

async function upload(client: NexClient): Promise<string> {
  const source = { bytes: Buffer.from("() => env.GREETING") };
  return (await client.upload(source, { key: name })).sha256;
}

/** Waits until it answers. */
async function answer(client: NexClient): Promise<string> {
  for (;;) {
    try {
      return Buffer.from((await client.call(name, "", { timeoutMs: 1_000 })).data).toString();
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

test("autostart runs what is listed, with its environment, and a refused entry keeps none of the others (W6)", async () => {
  await using server = await startTestNatsServer();
  await using client = await connectNex({ servers: [server.url] });
  const sha256 = await upload(client);
  const folder = mkdtempSync(join(tmpdir(), "nex-autostart-"));
  try {
    const { seed } = createKey("account");
    const issuer_file = join(folder, "issuer.nk");
    writeFileSync(issuer_file, `${seed}\n`);
    const issuer = signerOfSeed(seed);
    const refused = [
      { ...entry, name: "gone", location: "nats://NONE/none" },
      { ...entry, name: "wrong", sha256: "0".repeat(64) },
      { ...entry, name: "not a name" },
      { ...entry, name: "wasm", type: "wasm" },
      { ...entry, name: "denied", trigger_subjects: ["$SYS.x"] },
    ];
    const environment = { GREETING: "good morning" };
    const autostart = { issuer_file, workloads: [...refused, { ...entry, sha256, environment }] };
    // Its own issuer is among those that it accepts, or its workloads are refused like any other.
    const config = { autostart, valid_issuers: [issuer.publicKey], require_bound_claims: true };
    await using node = await startTestNode({ server: server.url, config });
    assert.equal(await answer(client), '"good morning"');
    const workloads = await client.workloadDetails();
    assert.deepEqual(
      workloads.map(({ workload }) => workload.name),
      [name],
    );
    await client.stop({ nodeId: node.id, workloadId: workloads[0]?.id ?? "", name, issuer });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("autostart goes through the same limits and lists as a request (B26)", async () => {
  await using nexus = await startTestNexus();
  await upload(nexus.client);
  const config = { autostart: { workloads: [entry] }, valid_issuers: [nexus.issuer.publicKey] };
  let node: Awaited<ReturnType<typeof startTestNode>> | undefined;
  const refusal = await eventOf(nexus, "deploy_refused", async () => {
    node = await startTestNode({ server: nexus.server.url, config });
  });
  assert.equal(refusal["code"], "issuer_not_allowed");
  await node?.stop();
});

test("autostart.issuer_file that holds no key keeps the node from starting, and is not quoted (S13)", async () => {
  await using server = await startTestNatsServer();
  const path = join(mkdtempSync(join(tmpdir(), "nex-autostart-")), "issuer.nk");
  writeFileSync(path, "SAAsecret");
  await assert.rejects(
    startTestNode({ server: server.url, config: { autostart: { issuer_file: path } } }),
    (error: Error) => /issuer_file/.test(error.message) && !/SAAsecret/.test(error.message),
  );
  rmSync(join(path, ".."), { recursive: true });
});

test("autostart takes triggers of every kind, signed together with the artifact", async () => {
  await using server = await startTestNatsServer();
  await using client = await connectNex({ servers: [server.url] });
  const manager = await jetStreamOf(client);
  await manager.streams.add({ name: "ORDERS", subjects: ["orders.>"] });
  const source = { bytes: Buffer.from(tellerSource("one")) };
  const { sha256 } = await client.upload(source, { key: name });
  const { trigger_subjects: _, ...rest } = entry;
  const triggers = [{ type: "stream", stream: "ORDERS" } as const];
  const told = new Told(client.connection);
  const config = { autostart: { workloads: [{ ...rest, triggers, sha256 }] } };
  await using _node = await startTestNode({ server: server.url, config });
  const consumer = "nex_default_early_stream";
  await eventually(async () => await manager.consumers.info("ORDERS", consumer).catch(() => undefined));
  await publishAll(client, "orders.new", ["a"]);
  await told.count(1);
  const unsigned = { autostart: { workloads: [{ ...rest, triggers }] } };
  await assert.rejects(startTestNode({ server: server.url, config: unsigned }), {
    code: "config_invalid",
    message: /sha256.*is missing: triggers are signed together with the artifact/,
  });
});
