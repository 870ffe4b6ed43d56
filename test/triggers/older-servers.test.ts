/** Triggers on nats-servers that know no repeating schedules, or less. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { jetstream } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { startTestNexus, startTestNode } from "@nexengine/testing";
import { until } from "../../packages/testing/src/observe.ts";
import { olderServer } from "../support/older-servers.ts";
import { deployTeller, jetStreamOf, publishAll, settled, Told } from "../support/triggered.ts";

for (const version of ["2.10.26", "2.11.9", "2.12.2"]) {
  test(`on nats-server ${version}, copies publish the ticks of a schedule, each of them once`, async (t) => {
    const binary = await olderServer(version);
    if (typeof binary === "string") {
      t.skip(binary);
      return;
    }
    await using nexus = await startTestNexus({ natsServer: { binary } });
    await using other = await startTestNode({ server: nexus.server.url });
    const told = new Told(nexus.client.connection);
    for (const [copy, node] of [
      ["first", nexus.node.id],
      ["second", other.id],
    ] as const) {
      await deployTeller(nexus, [{ type: "cron", schedule: "every 1s", payload: "tick" }], { copy, node });
    }
    await told.count(5);
    const planned = told.all.map(({ trigger }) => Number(trigger["plannedMs"]));
    assert.equal(new Set(planned).size, planned.length, `planned: ${planned.join(", ")}`);
    const [workload] = await nexus.client.workloadDetails("teller");
    assert.match(workload?.nex?.triggers?.[0]?.remark ?? "", /knows no repeating schedules/);
  });

  test(`on nats-server ${version}, streams and keys call functions`, async (t) => {
    const binary = await olderServer(version);
    if (typeof binary === "string") {
      t.skip(binary);
      return;
    }
    await using nexus = await startTestNexus({ natsServer: { binary } });
    const { connection } = nexus.client;
    const manager = await jetStreamOf(nexus.client);
    await manager.streams.add({ name: "ORDERS", subjects: ["orders.>"] });
    const users = await new Kvm(jetstream(connection)).create("USERS");
    const told = new Told(connection);
    await deployTeller(nexus, [
      { type: "stream", stream: "ORDERS", filters: ["orders.a", "orders.b"], attempts: 2, backoff_ms: [20] },
      { type: "kv", bucket: "USERS" },
    ]);
    await publishAll(nexus.client, "orders.a", ["a", "fail"]);
    await users.put("k", "v");
    await until(() => told.all.length >= 4);
    await settled(manager, "ORDERS", "nex_default_teller_stream");
    assert.deepEqual(told.texts.toSorted(), ["a", "fail", "fail", "v"]);
    assert.equal((await nexus.client.deadLetters.list()).length, 1);
  });
}
