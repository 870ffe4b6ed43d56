/** A node that is cut off from NATS while its connection stays open: a partition, or a server that stands still. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { connectNex } from "@nexengine/client";
import { probeService, startTestNatsServer, startTestNode, TestNexus } from "@nexengine/testing";
import { pino } from "pino";
import { closeConnection, connectNats } from "../packages/node/src/connections/connect.ts";
import { unsentBytes } from "../packages/node/src/connections/unsent-bytes.ts";
import { eventually, until } from "../packages/testing/src/observe.ts";
import { NatsProxy } from "./faults/model/proxy.ts";

const pingIntervalMs = 2_000;
const probe = await probeService();

for (const state of ["stalled", "dropping"] as const) {
  test(`a node behind a proxy that is ${state} notices, goes on with what runs, and handles no message twice after that`, async () => {
    await using stack = new AsyncDisposableStack();
    const server = stack.use(await startTestNatsServer());
    const proxy = stack.use(await new NatsProxy(server.port).start());
    const said: string[] = [];
    const log = pino({ level: "info" }, { write: (line: string) => void said.push(JSON.parse(line).msg) });
    const told = (text: RegExp): number => said.filter((line) => text.test(line)).length;
    const node = stack.use(
      await startTestNode({ server: proxy.url, log, login: { pingIntervalMs, timeoutMs: 1_000 } }),
    );
    const client = stack.use(await connectNex({ servers: [server.url] }));
    const nexus = new TestNexus(server, node, client, new AsyncDisposableStack());
    // Each message is noted, also where its answer is lost.
    const source = `const seen = {};
      module.exports = async (subject, payload) => {
        const key = String.fromCharCode(...payload);
        if (key === "seen") return seen;
        seen[key] = (seen[key] ?? 0) + 1;
        return key;
      };`;
    await nexus.function(source, { name: "f", globals: "keep" });
    if (probe !== undefined) await nexus.probe(["wait"], { name: "service" });
    let sent = 0;
    const sendSome = async (): Promise<void> => {
      for (let count = 0; count < 50; count++)
        client.connection.publish("f", `${sent++}`, { reply: "nobody.hears" });
      await client.connection.flush();
    };
    await sendSome();
    assert.equal(await nexus.call("f", "first"), '"first"');
    const crossing = sendSome();
    await new Promise(setImmediate);
    proxy.set(state);
    await crossing;
    await sendSome();
    await until(() => told(/connection to NATS was lost/) > 0);
    await sendSome();
    proxy.set("open");
    await until(() => told(/connection to NATS is back/) > 0);
    assert.equal(await eventually(() => nexus.call("f", "last").catch(() => undefined)), '"last"');
    await sendSome();
    const { first, last: _, ...seen } = JSON.parse(await nexus.call("f", "seen")) as Record<string, number>;
    assert.equal(first, 1);
    assert.deepEqual(new Set(Object.values(seen)), new Set([1]), "a message was handled twice");
    const isHandled = (number: number): boolean => seen[`${number}`] === 1;
    assert.ok(Array.from({ length: 50 }, (_, at) => at).every(isHandled), "before it");
    assert.ok(Array.from({ length: 50 }, (_, at) => sent - 1 - at).every(isHandled), "after it");
    const { machines } = await client.info(node.id);
    assert.deepEqual(
      machines.map(({ nex }) => [nex?.state, nex?.restarts]),
      machines.map(() => ["running", 0]),
    );
    assert.equal(machines.length, probe === undefined ? 1 : 2);
  });
}

test("a connection with unsent bytes to a server that does not read is given up too", async () => {
  await using server = await startTestNatsServer({ jetstream: false });
  await using proxy = await new NatsProxy(server.port).start();
  const connection = await connectNats({ servers: [proxy.url], pingIntervalMs, timeoutMs: 1_000 });
  const statuses: string[] = [];
  void (async () => {
    for await (const { type } of connection.status()) statuses.push(type);
  })();
  proxy.set("stalled");
  const chunk = Buffer.alloc(500_000);
  for (let count = 0; count < 40; count++) connection.publish("x", chunk);
  await until(() => unsentBytes(connection) > 0);
  await until(() => statuses.includes("disconnect"));
  // The library drops what it could not send, so nothing of it comes later.
  await until(() => unsentBytes(connection) === 0);
  proxy.set("open");
  await until(() => statuses.includes("reconnect"));
  await connection.flush();
  await closeConnection(connection);
});
