import assert from "node:assert/strict";
import { test } from "node:test";
import { NexError } from "@nexengine/protocol/errors";
import { createKey } from "@nexengine/protocol/tokens";
import { refusal, startBench } from "./testing/client.ts";

const stranger = createKey("node").publicKey;
const notNodeIds = [
  "",
  "*",
  ">",
  "N",
  "a.b",
  "a b",
  "N\r\nPING",
  stranger.slice(0, 55),
  createKey("account").publicKey,
];

test("info gives what the node says", async () => {
  await using bench = await startBench();
  const node = await bench.node();
  const info = await bench.client.info(node.id);
  assert.equal(info.public_xkey, node.xkey.publicKey);
  assert.deepEqual(info.machines, []);
  assert.equal(info.nex?.sandbox, "process");
});

test("info of a node that is not there is told at once", async () => {
  await using bench = await startBench();
  const error = await refusal(bench.client.info(stranger, 600_000));
  assert.equal(error.code, "node_not_found");
  assert.equal(error.message, `Cannot get the info of a node: nobody answers as node ${stranger}`);
  assert.equal(error.ids["node"], stranger);
});

test("info of a node that keeps silent says how long it was waited for", async () => {
  await using bench = await startBench();
  const node = await bench.node({ info: () => "silence" });
  const error = await refusal(bench.client.info(node.id, 60));
  assert.equal(error.code, "node_silent");
  assert.match(error.message, /did not answer within 60 ms$/);
});

test("no request goes out for what is not the id of a node", async () => {
  await using bench = await startBench();
  const observer = await bench.connection();
  const seen: string[] = [];
  observer.subscribe(">", { callback: (_, { subject }) => void seen.push(subject) });
  await observer.flush();
  const { client, issuer } = bench;
  for (const nodeId of notNodeIds) {
    const refusals = [
      client.info(nodeId),
      client.lameDuck(nodeId),
      client.stop({ nodeId, workloadId: "w", name: "echo", issuer }),
      client.deploy(bench.functionOptions({ node: nodeId })),
    ];
    for (const promise of refusals) assert.equal((await refusal(promise)).code, "node_not_found", nodeId);
    if (nodeId !== "*") assert.throws(() => client.logs({ nodeId }), { code: "node_not_found" });
  }
  for (const name of ["*", ">", "a.b", "a b", ""]) {
    assert.equal((await refusal(client.workloads(name))).code, "name_invalid", name);
  }
  await client.flush();
  await observer.flush();
  assert.deepEqual(seen, []);
});

test("an answer that can't be read is told, and throws nothing else", async () => {
  await using bench = await startBench();
  const bodies = ["", "{", "null", "[]", '{"data":""}', '{"data":{"public_xkey":5}}', "\xff"];
  for (const body of bodies) {
    const node = await bench.node({ info: () => Buffer.from(body, "latin1") });
    const error = await refusal(bench.client.info(node.id));
    assert.equal(error.code, "answer_unreadable", body);
    assert.ok(error.message.startsWith(`Cannot read the answer of node ${node.id}`), error.message);
  }
});

test("what a node refuses is thrown with its code and text", async () => {
  await using bench = await startBench();
  const node = await bench.node({ info: () => new NexError("lame_duck", "Node is in lame duck mode") });
  const error = await refusal(bench.client.info(node.id));
  assert.equal(error.code, "lame_duck");
  assert.equal(error.message, "Node is in lame duck mode");
});

test("a request that the server does not permit is told at once, with what to do", async () => {
  const config = `authorization {
    users: [{ user: mute, password: m, permissions: { publish: { deny: ["$NEX.INFO.>"] } } }]
  }`;
  await using bench = await startBench({ config, client: { user: "mute", password: "m" } });
  const error = await refusal(bench.client.info(stranger, 600_000));
  assert.equal(error.code, "connection_failed");
  assert.match(error.message, /^Cannot get the info of a node: the NATS server does not permit it/);
  assert.match(error.advice ?? "", /permission/);
});

test("workloadDetails leaves out nodes that keep silent or lie about their id, and asks by id or exact name", async () => {
  await using bench = await startBench();
  const machine = (id: string, name: string) => ({ id, workload: { name }, namespace: "default" });
  const node = await bench.node({
    info: () => ({
      machines: [machine("dc2f2m1ksdudki293gn0", "Echo"), machine("dc2f2m1ksdudki293gng", "sum")],
    }),
  });
  await bench.node({ info: () => "silence" });
  await bench.node({ ping: () => ({ node_id: "*" }) });
  const options = { timeoutMs: 500 };
  const all = await bench.client.workloadDetails(undefined, options);
  assert.deepEqual(
    all.map(({ id, nodeId, nodeName }) => [id, nodeId, nodeName]),
    [
      ["dc2f2m1ksdudki293gn0", node.id, "scripted"],
      ["dc2f2m1ksdudki293gng", node.id, "scripted"],
    ],
  );
  for (const [wanted, names] of [
    ["Echo", ["Echo"]],
    ["echo", []],
    ["dc2f2m1ksdudki293gng", ["sum"]],
    ["DC2F2M1KSDUDKI293GNG", []],
    ["su", []],
  ] as const) {
    const found = await bench.client.workloadDetails(wanted, options);
    assert.deepEqual(
      found.map(({ workload }) => workload.name),
      names,
      wanted,
    );
  }
});
