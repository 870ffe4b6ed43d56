/** Functions as NATS services: who asks for services finds them, and nobody needs to. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import type { NatsConnection } from "@nats-io/nats-core";
import { connectNex } from "@nexengine/client";
import { natsPermissions } from "@nexengine/protocol/nats";
import { startTestNatsServer, startTestNexus, startTestNode, TestNexus } from "@nexengine/testing";
import { eventually, until } from "../packages/testing/src/observe.ts";

interface Answer {
  type: string;
  name: string;
  id: string;
  version: string;
  metadata: Record<string, string>;
  started?: string;
  endpoints?: Record<string, unknown>[];
}

/** Asks all services, and collects as many answers as there should be. */
async function ask(connection: NatsConnection, subject: string, count: number): Promise<Answer[]> {
  const answers: Answer[] = [];
  const inbox = `_INBOX.services.${Math.random()}`;
  const subscription = connection.subscribe(inbox, {
    callback: (_, message) => {
      // Without a subscriber, the server answers with nothing.
      if (message.data.length > 0) answers.push(message.json<Answer>());
    },
  });
  connection.publish(subject, "", { reply: inbox });
  await until(() => answers.length >= count);
  // Further answers to the first question would come before those to the next.
  await connection.request("$SRV.PING").catch(() => undefined);
  subscription.unsubscribe();
  assert.equal(answers.length, count, subject);
  return answers.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Waits until a node has subscribed: a deploy does not. */
async function answered(connection: NatsConnection): Promise<void> {
  await eventually(() => connection.request("$SRV.STATS").catch(() => undefined));
}

test("functions answer who asks for services: all, by name, by id, with counters of each subject", async () => {
  await using nexus = await startTestNexus();
  const { connection } = nexus.client;
  const one = await nexus.function("(s, p) => { if (p.length > 0) throw new Error('no'); return 1; }", {
    name: "one",
    triggerSubjects: ["one", "one.other"],
  });
  const two = await nexus.function("() => 2", { name: "two" });
  await answered(connection);
  const silent = connection.subscribe("silent");
  connection.publish("$SRV.PING");
  connection.publish("$SRV.PING", "", { reply: "silent" });
  const pings = await ask(connection, "$SRV.PING", 2);
  const { version = "" } = pings[0] ?? {};
  assert.match(version, /^0\.0\.0\+[0-9a-f]{12}$/);
  assert.deepEqual(pings[0], {
    ...{ type: "io.nats.micro.v1.ping_response", name: "one", id: one.id, version },
    metadata: { namespace: "default", node: nexus.node.id, type: "v8" },
  });
  assert.deepEqual(await ask(connection, "$SRV.PING.two", 1), [pings[1]]);
  assert.deepEqual(await ask(connection, `$SRV.PING.two.${two.id}`, 1), [pings[1]]);
  for (const subject of [`$SRV.PING.one.${two.id}`, "$SRV.PING.three", "$SRV.OTHER"])
    assert.deepEqual(await ask(connection, subject, 0), []);
  const [info] = await ask(connection, "$SRV.INFO.one", 1);
  assert.equal(info?.type, "io.nats.micro.v1.info_response");
  const queue_group = "nex.default.one";
  assert.deepEqual(info?.endpoints, [
    { name: "subject", subject: "one", queue_group, metadata: {} },
    { name: "subject-2", subject: "one.other", queue_group, metadata: {} },
  ]);
  for (let call = 0; call < 3; call++) await nexus.call("one");
  await assert.rejects(nexus.call("one", "x"));
  const [stats] = await ask(connection, "$SRV.STATS.one", 1);
  assert.equal(stats?.type, "io.nats.micro.v1.stats_response");
  assert.ok(Date.parse(stats?.started ?? "") > 0);
  const [first, second] = stats?.endpoints ?? [];
  const { processing_time: total, average_processing_time: average, ...counted } = first ?? {};
  assert.deepEqual(counted, {
    ...{ name: "subject", subject: "one", queue_group },
    ...{ num_requests: 4, num_errors: 1, last_error: "500:Error: no" },
  });
  assert.ok(Number(total) > 0 && average === Math.round(Number(total) / 4));
  assert.deepEqual([second?.["num_requests"], second?.["average_processing_time"]], [0, 0]);

  await nexus.stop(one);
  assert.deepEqual(await ask(connection, "$SRV.PING", 1), [pings[1]]);
  await nexus.stop(two);
  await assert.rejects(connection.request("$SRV.PING"), /no responders/i);
  await nexus.function("() => 3", { name: "three" });
  await answered(connection);
  assert.equal((await ask(connection, "$SRV.PING", 1))[0]?.name, "three");
  assert.equal(silent.getPending(), 0, "the node answers only to inboxes");
});

test("many requests for services do not hold calls up", async () => {
  await using nexus = await startTestNexus();
  const { connection } = nexus.client;
  await nexus.function("() => 1", { name: "f" });
  await answered(connection);
  let answers = 0;
  const asked = 50_000;
  connection.subscribe("_INBOX.many", { callback: () => void answers++ });
  for (let request = 0; request < asked; request++)
    connection.publish("$SRV.STATS", "", { reply: "_INBOX.many" });
  assert.equal(await nexus.call("f"), "1");
  assert.ok(answers < asked, "those beyond get no answer");
  await eventually(async () => {
    const before = answers;
    await ask(connection, "$SRV.PING.nobody", 0);
    return before === answers ? true : undefined;
  });
  assert.ok(answers > 0 && answers < asked);
});

/** A user for a node with the permissions of two roles, and a person without bounds. */
function configWith(subscribe: readonly string[], publish: readonly string[], max: number): string {
  return `authorization { users: [
    { user: node, password: p, permissions: {
      publish: ${JSON.stringify(publish)}, subscribe: ${JSON.stringify(subscribe)},
      allow_responses: { max: ${max}, expires: "10m" } } },
    { user: person, password: p }
  ] }`;
}

for (const isPermitted of [true, false]) {
  const what = isPermitted ? "just the permissions of the docs" : "no permission for services";
  test(`functions start with ${what}, and the server refuses one subscription at the most`, async () => {
    const scope = { namespace: "default", subjects: ["f", "g"], inboxPrefix: "_INBOX" };
    const roles = (["node", "workloads", "issuer"] as const).map((role) => natsPermissions(role, scope));
    const publish = roles.flatMap((role) => role.publish);
    const subscribe = roles.flatMap((role) => role.subscribe);
    const services = subscribe.filter((subject) => subject.startsWith("$SRV"));
    assert.deepEqual(services, ["$SRV.>"]);
    const given = isPermitted ? subscribe : subscribe.filter((subject) => !services.includes(subject));
    await using server = await startTestNatsServer({ config: configWith(given, publish, 1_024) });
    await using node = await startTestNode({ server: server.url, login: { user: "node", password: "p" } });
    await using client = await connectNex({ servers: [server.url], user: "person", password: "p" });
    await using nexus = new TestNexus(server, node, client, new AsyncDisposableStack());
    await nexus.function("() => 1", { name: "f" });
    await nexus.function("() => 2", { name: "g" });
    assert.deepEqual([await nexus.call("f"), await nexus.call("g")], ["1", "2"]);
    if (isPermitted) {
      await answered(client.connection);
      assert.equal((await ask(client.connection, "$SRV.STATS", 2)).length, 2);
    } else await assert.rejects(client.connection.request("$SRV.PING"), /no responders/i);
    const refused = readFileSync(server.logPath, "utf8").match(/Subscription Violation.*/g) ?? [];
    assert.equal(refused.length, isPermitted ? 0 : 1, refused.join("\n"));
  });
}
