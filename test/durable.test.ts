/** Deploys that survive the disk of their node: copies in buckets, and an identity that is kept elsewhere. */
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { connectNex, type NexClient } from "@nexengine/client";
import { newSigner, startTestNatsServer, startTestNode } from "@nexengine/testing";
import { eventually } from "../packages/testing/src/observe.ts";
import { call, deploy as deployOne, issuer, workloads } from "./support/counting.ts";
import { Victim } from "./support/victim.ts";

const source = "module.exports = () => env.WORD ?? process.env.WORD;";

/** Deploys a function that says its name, which is in its environment. @returns its id */
async function deploy(client: NexClient, name: string): Promise<string> {
  const artifact = { bytes: Buffer.from(source) };
  return (await deployOne(client, { name, artifact, environment: { WORD: name } })).id;
}

async function running(client: NexClient): Promise<Map<string, string>> {
  return new Map((await workloads(client)).map(({ workload, id }) => [workload.name, id]));
}

async function bench(config: { durable: "kv" } | Record<string, never> = { durable: "kv" }) {
  await using stack = new AsyncDisposableStack();
  const server = stack.use(await startTestNatsServer());
  const client = stack.use(await connectNex({ servers: [server.url] }));
  const victim = stack.use(
    new Victim({ server: server.url, sandbox: "process", nodeLostTimeoutMs: 60_000, config }),
  );
  await victim.start();
  const connection = await connect({ servers: server.url });
  stack.defer(() => connection.close());
  const kept = mkdtempSync(join(tmpdir(), "nex-identity-"));
  stack.defer(() => rmSync(kept, { recursive: true, force: true }));
  const moved = stack.move();
  return {
    ...{ server, client, victim, connection },
    /** Ends the node, and loses its directory but the identity. @returns the identity's file */
    loseDisk: async (): Promise<string> => {
      await victim.end("SIGKILL");
      const identity = join(kept, "identity.json");
      cpSync(join(victim.directory, "identity.json"), identity);
      for (const name of readdirSync(victim.directory))
        rmSync(join(victim.directory, name), { recursive: true, force: true });
      return identity;
    },
    /** Number of records in the bucket of a namespace. */
    records: async (namespace: string): Promise<number> => {
      const manager = await jetstreamManager(connection);
      const info = await manager.streams.info(`KV_NEX_DEPLOYS_${namespace}`).catch(() => undefined);
      return info?.state.messages ?? 0;
    },
    [Symbol.asyncDispose]: () => moved.disposeAsync(),
  };
}

test("a node whose disk is lost runs its deploys again, under their ids, with their environment", async () => {
  await using made = await bench();
  const { client, victim } = made;
  const ids = new Map([
    ["one", await deploy(client, "one")],
    ["two", await deploy(client, "two")],
  ]);
  const stopped = await deploy(client, "three");
  const [node] = await client.nodes();
  await client.stop({ nodeId: node?.node_id ?? "", workloadId: stopped, name: "three", issuer });
  await eventually(async () => ((await made.records("default")) === 2 ? true : undefined));
  victim.options = { ...victim.options, identityFile: await made.loseDisk() };
  await victim.start();
  assert.equal((await client.nodes())[0]?.node_id, node?.node_id);
  assert.deepEqual(await running(client), ids);
  assert.equal(await call(client, "one"), '"one"');
  assert.equal(await call(client, "two"), '"two"');
  // Only its issuer stops it, as before.
  await assert.rejects(
    client.stop({
      nodeId: node?.node_id ?? "",
      workloadId: ids.get("one") ?? "",
      name: "one",
      issuer: newSigner(),
    }),
    { code: "stop_issuer_mismatch" },
  );
  await client.stop({ nodeId: node?.node_id ?? "", workloadId: ids.get("one") ?? "", name: "one", issuer });
  await eventually(async () => ((await made.records("default")) === 1 ? true : undefined));
});

test("the state directory leads: a copy that it does not have is removed, and one that is missing is made", async () => {
  await using made = await bench();
  const { client, victim, connection } = made;
  const id = await deploy(client, "one");
  await victim.end("SIGKILL");
  const manager = await jetstreamManager(connection);
  const [node] = [
    ...(await manager.streams.getMessage("KV_NEX_DEPLOYS_default", { seq: 1 }).then((m) => [m])),
  ];
  assert.ok(node);
  const [, , nodeId] = node.subject.split(".");
  await manager.streams.deleteMessage("KV_NEX_DEPLOYS_default", 1);
  connection.publish(`$KV.NEX_DEPLOYS_default.${nodeId}.stale`, node.data);
  // A record of another node is not touched.
  connection.publish("$KV.NEX_DEPLOYS_default.NOTHER.stale", node.data);
  await connection.flush();
  await victim.start();
  assert.deepEqual(await running(client), new Map([["one", id]]));
  const subjects = async (): Promise<string[]> => {
    const info = await manager.streams.info("KV_NEX_DEPLOYS_default", { subjects_filter: ">" });
    return Object.keys(info.state.subjects ?? {}).sort();
  };
  const expected = ["$KV.NEX_DEPLOYS_default.NOTHER.stale", `$KV.NEX_DEPLOYS_default.${nodeId}.${id}`].sort();
  await eventually(async () => (String(await subjects()) === String(expected) ? true : undefined));
});

test("a deploy that can't be kept in a bucket is refused, and leaves nothing", async () => {
  await using server = await startTestNatsServer();
  await using client = await connectNex({ servers: [server.url] });
  const directory = mkdtempSync(join(tmpdir(), "nex-durable-"));
  try {
    await using node = await startTestNode({ server: server.url, directory, config: { durable: "kv" } });
    const connection = await connect({ servers: server.url });
    const manager = await jetstreamManager(connection);
    // A stream of this name that takes no such subjects.
    await manager.streams.add({ name: "KV_NEX_DEPLOYS_default", subjects: ["something.else"] });
    await assert.rejects(deploy(client, "one"), {
      code: "state_unusable",
      message: /Cannot keep the deploy in the bucket NEX_DEPLOYS_default/,
    });
    assert.equal((await client.info(node.id)).machines.length, 0);
    assert.deepEqual(readdirSync(join(directory, "deploys")), []);
    await connection.close();
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test("an identity is refused that is none, that another directory's node has, or whose node runs", async () => {
  await using made = await bench({});
  const { server, victim } = made;
  const directory = mkdtempSync(join(tmpdir(), "nex-other-"));
  const identityFile = join(victim.directory, "identity.json");
  const start = (options: { identityFile: string }) =>
    startTestNode({ server: server.url, directory, ...options });
  try {
    const broken = join(directory, "..", "broken-identity.json");
    writeFileSync(broken, '{"version":1,"node_seed":"SNSECRET","xkey_seed":"x"}');
    await assert.rejects(start({ identityFile: broken }), (error: Error) => {
      assert.match(error.message, /it is no identity of a node/);
      assert.doesNotMatch(error.message, /SNSECRET/);
      return true;
    });
    rmSync(broken);
    await assert.rejects(start({ identityFile: join(directory, "none") }), {
      message: /there is no such file/,
    });
    await assert.rejects(start({ identityFile }), { code: "state_locked", message: /runs already/ });
    // A refused identity is not in the directory.
    assert.ok(!readdirSync(directory).includes("identity.json"));
    await (await startTestNode({ server: server.url, directory })).stop();
    await assert.rejects(start({ identityFile }), {
      code: "config_invalid",
      message: /belongs to another node/,
    });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
