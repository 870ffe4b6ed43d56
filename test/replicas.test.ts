/** Several machines of one workload, several copies of a function, and what is counted of calls. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { NexError } from "../packages/protocol/src/errors.ts";
import type { Restart } from "../packages/protocol/src/messages/mod.ts";
import { startTestNexus } from "../packages/testing/src/nexus.ts";
import { startTestNode } from "../packages/testing/src/node.ts";
import { until } from "../packages/testing/src/observe.ts";
import { probeService } from "../packages/testing/src/samples.ts";

const skip = (await probeService()) === undefined ? "no C compiler builds the probe here" : false;

/** Says which machine it runs in, after a time. */
const whoAmI = `const id = String(Math.random());
module.exports = (s, p) => new Promise((resolve) => setTimeout(resolve, p.length, id));`;

test("replicas share the calls of a function; each call is run once", async () => {
  await using nexus = await startTestNexus({ config: { machine_pool_size: 3 } });
  const deployment = await nexus.function(whoAmI, { name: "f", replicas: 3, concurrency: 4 });
  const answers = await Promise.all(Array.from({ length: 60 }, () => nexus.call("f", "x".repeat(30))));
  assert.equal(new Set(answers).size, 3);
  const [machine] = (await nexus.client.info(nexus.node.id)).machines;
  assert.equal(machine?.nex?.machines, 3);
  assert.equal(machine?.nex?.state, "running");
  assert.equal(machine?.nex?.counters?.calls, 60);
  assert.equal(machine?.nex?.counters?.cold_starts, 3);
  await nexus.stop(deployment);
  assert.deepEqual((await nexus.client.info(nexus.node.id)).machines, []);
});

test("a machine that is lost comes again while the others serve", async () => {
  await using nexus = await startTestNexus({ config: { machine_pool_size: 3 }, tuning: { callTimeMs: 100 } });
  await nexus.function("module.exports = (s, p) => { if (p.length > 0) for (;;); return 1; };", {
    name: "f",
    replicas: 2,
  });
  const hung = nexus.call("f", "x");
  hung.catch(() => undefined);
  const others = Promise.all(Array.from({ length: 20 }, () => nexus.call("f")));
  await assert.rejects(hung, { code: "function_timed_out" });
  await others;
  const about = async () => (await nexus.client.info(nexus.node.id)).machines[0]?.nex;
  while ((await about())?.machines !== 2) await new Promise((resolve) => setTimeout(resolve, 10));
  const nex = await about();
  assert.equal(nex?.restarts, 1);
  assert.equal(nex?.counters?.failures["408"], 1);
  assert.equal(nex?.counters?.cold_starts, 3);
});

test("counters tell of failures by their code, and of times", async () => {
  await using nexus = await startTestNexus();
  await nexus.function(
    "(s, p) => { if (p.length > 0) throw new Error('no'); const until = Date.now() + 5; while (Date.now() < until); }",
    { name: "f" },
  );
  for (let call = 0; call < 5; call++) await nexus.call("f");
  for (let call = 0; call < 3; call++) await assert.rejects(nexus.call("f", "x"));
  const [machine] = (await nexus.client.info(nexus.node.id)).machines;
  const counters = machine?.nex?.counters;
  assert.equal(counters?.calls, 8);
  assert.deepEqual(counters?.failures, { "500": 3 });
  assert.ok((counters?.run_ns.p50 ?? 0) >= 4e6, JSON.stringify(counters));
});

test("copies on two nodes share the calls; one that is stopped under load loses none", async () => {
  await using nexus = await startTestNexus();
  await using other = await startTestNode({ server: nexus.server.url });
  const first = await nexus.function(whoAmI, { name: "f", node: nexus.node.id });
  const second = await nexus.function(whoAmI, { name: "f", node: other.id });
  assert.notEqual(first.nodeId, second.nodeId);
  const answered = new Map<string, number>();
  let running = true;
  let asked = 0;
  const worker = async (): Promise<void> => {
    while (running) {
      asked++;
      const id = await nexus.call("f", "xx");
      answered.set(id, (answered.get(id) ?? 0) + 1);
    }
  };
  const workers = Array.from({ length: 16 }, worker);
  await until(() => answered.size === 2);
  await nexus.stop(second);
  const before = asked;
  await until(() => asked > before + 200);
  running = false;
  await Promise.all(workers);
  assert.equal(
    [...answered.values()].reduce((sum, count) => sum + count),
    asked,
  );
});

test("replicas of a service each run, and it ends with the last of them", { skip }, async () => {
  await using nexus = await startTestNexus({ config: { machine_pool_size: 2 } });
  const deployment = await nexus.probe(["sleep", "60000"], { replicas: 2 });
  const [machine] = (await nexus.client.info(nexus.node.id)).machines;
  assert.equal(machine?.nex?.machines, 2);
  assert.equal(machine?.nex?.counters, undefined);
  await nexus.stop(deployment);
  assert.deepEqual((await nexus.client.info(nexus.node.id)).machines, []);
});

test("a service starts again as its policy says, and as often", { skip }, async () => {
  await using nexus = await startTestNexus({ config: { machine_pool_size: 2 } });
  const undeployed = async (
    code: string,
    restart: Restart,
    essential = false,
  ): Promise<Record<string, unknown>> => {
    await using feed = nexus.client.events();
    await nexus.client.flush();
    const deployment = await nexus.probe(["exit", code], { restart, essential });
    let restarts = 0;
    for await (const { type, event } of feed) {
      if (type === "workload_restarting") restarts++;
      if (type === "workload_undeployed" && event.data?.["vmid"] === deployment.id)
        return { restarts, code: event.data["code"] };
    }
    throw new NexError("timeout", "the feed ended");
  };
  assert.deepEqual(await undeployed("3", { policy: "never" }, true), { restarts: 0, code: 3 });
  assert.deepEqual(await undeployed("3", { policy: "on-failure", max_restarts: 2, backoff_ms: 5 }), {
    restarts: 2,
    code: 3,
  });
  assert.deepEqual(await undeployed("0", { policy: "on-failure", max_restarts: 2, backoff_ms: 5 }), {
    restarts: 0,
    code: 0,
  });
  assert.deepEqual(await undeployed("0", { policy: "always", max_restarts: 3, backoff_ms: 5 }), {
    restarts: 3,
    code: 0,
  });
});
