/** A node is killed at each step in which a message is settled: none is lost, and each poisoned one is one dead letter. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { connectNex } from "@nexengine/client";
import { startTestNatsServer } from "@nexengine/testing";
import { eventually, until } from "../../packages/testing/src/observe.ts";
import { deploy } from "../support/counting.ts";
import { jetStreamOf, publishAll, settled, Told, tellerSource } from "../support/triggered.ts";
import { Tripwire } from "../support/tripwire.ts";
import { Victim } from "../support/victim.ts";

const good = ["a", "b", "c", "d"];
const poisoned = ["never 1", "never 2"].map((text) => text.replace(" ", ":"));

/** The bytes that the node sends at a step, and whether the server gets them. */
const steps: readonly [name: string, text: string, passes: boolean][] = [
  ["in a call", "PUB told ", true],
  ["before an ack", "PUB $JS.ACK.ORDERS", false],
  ["after an ack", "PUB $JS.ACK.ORDERS", true],
  ["before a dead letter is kept", "HPUB $NEX.DEAD.default.teller ", false],
  ["after a dead letter is kept", "HPUB $NEX.DEAD.default.teller ", true],
  ["before the end of a poisoned message", "+TERM", false],
  ["after the end of a poisoned message", "+TERM", true],
];

for (const [name, text, passes] of steps) {
  test(`a node is killed ${name}`, async () => {
    await using server = await startTestNatsServer();
    await using tripwire = await new Tripwire(Number(new URL(server.url).port)).start();
    await using client = await connectNex({ servers: [server.url] });
    const manager = await jetStreamOf(client);
    await manager.streams.add({ name: "ORDERS", subjects: ["orders.>"] });
    const told = new Told(client.connection);
    const options = { server: tripwire.url, sandbox: "process", nodeLostTimeoutMs: 10_000 } as const;
    await using victim = new Victim(options);
    await victim.start();
    await deploy(client, {
      name: "teller",
      artifact: { bytes: Buffer.from(tellerSource("one")) },
      triggerSubjects: [],
      triggers: [{ type: "stream", stream: "ORDERS", attempts: 20, ack_wait_ms: 1_000, backoff_ms: [50] }],
    });
    let isKilled = false;
    tripwire.set({
      text,
      passes,
      act: () => {
        isKilled = true;
        process.kill(victim.pid as number, "SIGKILL");
      },
    });
    await publishAll(client, "orders.new", [...good, ...poisoned]);
    await until(() => isKilled);
    await victim.exited;
    await victim.start();
    await eventually(async () => {
      const { state } = await manager.streams.info("NEX_DEAD_default");
      return state.messages >= poisoned.length ? true : undefined;
    });
    await settled(manager, "ORDERS", "nex_default_teller_stream");
    for (const message of good) assert.ok(told.of(message).length > 0, `${message} was lost`);
    const { state } = await manager.streams.info("NEX_DEAD_default");
    assert.equal(state.messages, poisoned.length);
  });
}
