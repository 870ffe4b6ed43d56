/** Many messages behind a slow function: they wait in the stream, not in the node. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { connectNex } from "@nexengine/client";
import { startTestNatsServer } from "@nexengine/testing";
import { until } from "../../packages/testing/src/observe.ts";
import { deploy } from "../support/counting.ts";
import { jetStreamOf } from "../support/triggered.ts";
import { Victim } from "../support/victim.ts";

/** In its long form, a million. */
const messages = process.env["NEX_TEST_FAULTS"] === "long" ? 1_000_000 : 100_000;
const payload = Buffer.alloc(1_024, 120);
/** Less than a tenth of what the messages take. */
const growthBytesMax = 64 * 1024 * 1024;

function residentBytes(pid: number | undefined): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0) * 1_024;
}

test(`a node holds few of ${messages} messages that wait for a slow function`, async () => {
  await using server = await startTestNatsServer();
  await using client = await connectNex({ servers: [server.url] });
  const manager = await jetStreamOf(client);
  await manager.streams.add({ name: "ORDERS", subjects: ["orders.>"] });
  await using victim = new Victim({ server: server.url, sandbox: "process", nodeLostTimeoutMs: 10_000 });
  await victim.start();
  const source = `let calls = 0;
    export default async () => {
      await new Promise((resolve) => setTimeout(resolve, 200));
      await hostServices.promises.messaging.publish("handled", String(++calls));
    };`;
  let handled = 0;
  client.connection.subscribe("handled", {
    callback: () => {
      handled++;
    },
  });
  await deploy(client, {
    name: "slow",
    artifact: { bytes: Buffer.from(source) },
    triggerSubjects: [],
    triggers: [{ type: "stream", stream: "ORDERS" }],
  });
  for (let count = 1; count <= messages; count++) {
    client.connection.publish("orders.new", payload);
    if (count % 1_000 === 0) await client.connection.flush();
  }
  await until(() => handled > 0);
  const before = residentBytes(victim.pid);
  const start = handled;
  await until(() => handled > start + 500);
  const { num_ack_pending, num_pending } = await manager.consumers.info("ORDERS", "nex_default_slow_stream");
  // 64 calls at once, and hardly any ahead of time.
  assert.ok(num_ack_pending <= 130, `${num_ack_pending} messages are in hand`);
  assert.ok(num_pending > messages / 2);
  const grown = residentBytes(victim.pid) - before;
  assert.ok(grown < growthBytesMax, `the node has grown by ${grown} bytes`);
});
