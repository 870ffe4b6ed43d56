/** One node bears the load of all together: requests, machines, answers. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createInbox } from "@nats-io/nats-core";
import type { Limits } from "@nexengine/protocol/messages";
import { MockDriver } from "@nexengine/testing/internal";
import { greet } from "../packages/node/src/testing/mock-agent.ts";
import { startTestNexus } from "../packages/testing/src/nexus.ts";
import { eventually } from "../packages/testing/src/observe.ts";
import { probeService } from "../packages/testing/src/samples.ts";

const skip = (await probeService()) === undefined ? "no C compiler builds the probe here" : false;

test("a flood of auctions is answered at a bounded rate, and a deploy comes through", async () => {
  await using nexus = await startTestNexus();
  const { connection } = nexus.client;
  const inbox = createInbox();
  let bids = 0;
  const subscription = connection.subscribe(inbox, { callback: () => void bids++ });
  const beganMs = performance.now();
  const flood = 20_000;
  for (let sent = 0; sent < flood; sent++) connection.publish("$NEX.AUCTION", "{}", { reply: inbox });
  const { id } = await nexus.function("() => 1", { node: nexus.node.id });
  assert.ok(id);
  await connection.flush();
  const seconds = Math.ceil((performance.now() - beganMs) / 1_000) + 1;
  assert.ok(bids > 0 && bids <= 200 * seconds, `${bids} bids in ${seconds} s`);
  subscription.unsubscribe();
});

test("machines are counted, whatever number of workloads they belong to", async () => {
  await using nexus = await startTestNexus({ config: { node_limits: { max_machines: 3 } } });
  const first = await nexus.function("() => 1", { replicas: 2 });
  await assert.rejects(nexus.function("() => 1", { replicas: 2, node: nexus.node.id }), {
    code: "workload_limit",
  });
  await nexus.function("() => 1", { node: nexus.node.id });
  // The one that is replaced ends, so its machines don't count.
  const { name } = first;
  await nexus.function("() => 1", {
    name,
    replicas: 2,
    node: nexus.node.id,
    replaces: [{ nodeId: nexus.node.id, id: first.id }],
  });
});

test("max_workloads bounds machines too where max_machines says nothing", async () => {
  await using nexus = await startTestNexus({ config: { node_limits: { max_workloads: 2 } } });
  await assert.rejects(nexus.function("() => 1", { replicas: 3, node: nexus.node.id }), {
    code: "workload_limit",
  });
});

test("a bid counts ready machines only where they fit: none for limits that need a boot of their own", async () => {
  const driver = new MockDriver({ script: [{ serves: (guest) => greet(guest) }] });
  await using nexus = await startTestNexus({ driver, config: { machine_pool_size: 2 } });
  const ready = async (limits?: Limits) => {
    const [bid] = await nexus.client.auction({
      workload_types: ["v8"],
      nex: { version: 1, ...(limits === undefined ? {} : { limits }) },
    });
    return bid?.nex?.ready_machines;
  };
  await eventually(async () => ((await ready()) === 2 ? true : undefined));
  assert.equal(await ready({ call_time_ms: 1_000 }), 2);
  assert.equal(await ready({ memory_bytes: 64 * 2 ** 20 }), 0);
  assert.equal((await nexus.client.nodes())[0]?.nex?.ready_machines, 2);
});

test("limits.max.replicas bounds one workload", async () => {
  await using nexus = await startTestNexus({ config: { limits: { max: { replicas: 2 } } } });
  await assert.rejects(nexus.function("() => 1", { replicas: 3, node: nexus.node.id }), {
    code: "limit_too_high",
    message: /Cannot give 3 replicas: this node gives one workload at most 2/,
  });
});

test("INFO comes in pages that fit, long descriptions are shortened, and the client reads all pages", async () => {
  await using nexus = await startTestNexus({ tuning: { answerListBytesMax: 4_000 } });
  const description = "d".repeat(4_000);
  const ids: string[] = [];
  for (let at = 0; at < 6; at++) ids.push((await nexus.function("() => 1", { description })).id);
  const subject = `$NEX.INFO.default.${nexus.node.id}`;
  const { data } = await nexus.client.connection.request(subject, "");
  const first = JSON.parse(Buffer.from(data).toString()).data;
  assert.ok(first.machines.length < 6, `${first.machines.length} in one page`);
  assert.equal(first.nex.next, first.machines.at(-1).id);
  assert.equal(first.machines[0].workload.description.length, 1_025);
  const { machines } = await nexus.client.info(nexus.node.id);
  assert.deepEqual(
    machines.map(({ id }) => id),
    ids,
  );
});

test("a node remembers how a workload ended, with its last lines", { skip }, async () => {
  await using nexus = await startTestNexus();
  const { id } = await nexus.probe(["out", "last words", "exit", "3"], { name: "short" });
  const ended = async () =>
    (await nexus.client.info(nexus.node.id, undefined, { ended: true })).nex?.ended?.[0];
  const found = await eventually(ended);
  assert.deepEqual([found.id, found.name, found.code], [id, "short", 3]);
  assert.match(found.reason, /status: 3/);
  assert.ok(
    found.lines.some(({ text }) => text === "last words"),
    JSON.stringify(found.lines),
  );
  const elsewhere = await nexus.inNamespace("other").info(nexus.node.id, undefined, { ended: true });
  assert.deepEqual(elsewhere.nex?.ended, []);
});

test("a node gives the latest lines of a workload that runs", async () => {
  await using nexus = await startTestNexus();
  await nexus.function("(s, p) => console.log('line ' + p.length)", { name: "f" });
  await nexus.function("(s, p) => console.log('other')", { name: "g" });
  for (let at = 0; at < 5; at++) await nexus.call("f", "x".repeat(at));
  await nexus.call("g");
  const tail = async () =>
    (await nexus.client.info(nexus.node.id, undefined, { tail: 2, workload: "f" })).nex?.lines ?? [];
  const lines = await eventually(async () => {
    const latest = await tail();
    return latest.at(-1)?.text === "line 4" ? latest : undefined;
  });
  assert.deepEqual(
    lines.map(({ text, name }) => [text, name]),
    [
      ["line 3", "f"],
      ["line 4", "f"],
    ],
  );
});
