/** Stream triggers against a real server. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { startTestNexus, type TestNexus } from "@nexengine/testing";
import { eventually } from "../../packages/testing/src/observe.ts";
import { deployTeller, jetStreamOf, publishAll, settled, Told } from "../support/triggered.ts";

const consumer = "nex_default_teller_stream";

async function withStream(run: (nexus: TestNexus, told: Told) => Promise<void>): Promise<void> {
  await using nexus = await startTestNexus();
  const manager = await jetStreamOf(nexus.client);
  await manager.streams.add({ name: "ORDERS", subjects: ["orders.>"] });
  await run(nexus, new Told(nexus.client.connection));
}

test("a message of a stream is given to the function with its facts, and acknowledged", async () => {
  await withStream(async (nexus, told) => {
    const manager = await jetStreamOf(nexus.client);
    await deployTeller(nexus, [{ type: "stream", stream: "ORDERS", filters: ["orders.new"] }]);
    await publishAll(nexus.client, "orders.paid", ["not this"]);
    await publishAll(nexus.client, "orders.new", ["a", "b"]);
    const [first, second] = await told.count(2);
    assert.deepEqual([first?.subject, first?.text, second?.text], ["orders.new", "a", "b"]);
    const { type, name, stream, sequence, delivery, pending } = first?.trigger ?? {};
    assert.deepEqual([type, name, stream, sequence, delivery], ["stream", "stream", "ORDERS", 2, 1]);
    assert.equal(typeof pending, "number");
    await settled(manager, "ORDERS", consumer);
    const info = await manager.consumers.info("ORDERS", consumer);
    assert.equal(info.ack_floor.stream_seq, 3);
    assert.deepEqual(told.texts, ["a", "b"]);
  });
});

test("a failed message comes again after its delays, and ends as a dead letter with its facts", async () => {
  await withStream(async (nexus, told) => {
    const manager = await jetStreamOf(nexus.client);
    await deployTeller(nexus, [{ type: "stream", stream: "ORDERS", attempts: 3, backoff_ms: [20, 40] }]);
    await publishAll(nexus.client, "orders.new", ["fail:1", "fail", "never", "later:30"]);
    const dead = await eventually(async () => {
      const { state } = await manager.streams.info("NEX_DEAD_default");
      return state.messages === 2 ? state : undefined;
    });
    assert.equal(dead.messages, 2);
    await settled(manager, "ORDERS", consumer);
    const deliveries = (text: string): unknown[] => told.of(text).map(({ trigger }) => trigger["delivery"]);
    assert.deepEqual(deliveries("fail:1"), [1, 2]);
    assert.deepEqual(deliveries("fail"), [1, 2, 3]);
    assert.deepEqual(deliveries("never"), [1]);
    assert.deepEqual(deliveries("later:30"), [1, 2]);
    const letters = await Promise.all(
      [1, 2].map((seq) => manager.streams.getMessage("NEX_DEAD_default", { seq })),
    );
    const texts = letters.map((letter) => letter?.string());
    assert.deepEqual(texts.toSorted(), ["fail", "never"]);
    const fail = letters.find((letter) => letter?.string() === "fail");
    const facts = ["Subject", "Stream", "Sequence", "Deliveries", "Workload", "Trigger"].map((name) =>
      fail?.header.get(`Nex-Dead-${name}`),
    );
    assert.deepEqual(facts, ["orders.new", "ORDERS", "2", "3", "teller", "stream"]);
    assert.match(fail?.header.get("Nex-Dead-Reason") ?? "", /it fails: fail/);
  });
});
