/** A program that has connections of its own beside a node and a client: each keeps its transport. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { wsconnect } from "@nats-io/nats-core";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { NodeTransport } from "@nats-io/transport-node/lib/node_transport.js";
import { connectNex } from "@nexengine/client";
import { startTestNexus, startTestNode } from "@nexengine/testing";

/** The transport that carries a connection now; the library's types don't show it. */
function transportOf(connection: NatsConnection): object {
  return (connection as unknown as { protocol: { transport: object } }).protocol.transport;
}

async function reconnected(connection: NatsConnection): Promise<void> {
  for await (const { type } of connection.status()) if (type === "reconnect") return;
}

test("a node and a client come back by their own transport, whatever the program connected with after them", {
  timeout: 60_000,
}, async () => {
  await using nexus = await startTestNexus();
  const { connection } = nexus.client;
  const own = transportOf(connection).constructor;
  // As with any websocket of the program: the last call of a connect decides for the whole process.
  await assert.rejects(wsconnect({ servers: "ws://127.0.0.1:1", reconnect: false, timeout: 200 }));
  const back = reconnected(connection);
  await nexus.server.restart();
  await back;
  assert.equal(transportOf(connection).constructor, own);
  while ((await nexus.client.nodes()).length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
  await nexus.function("(subject, payload) => payload;", { name: "back" });
  assert.equal(await nexus.call("back", "here"), "here");
});

test("a client connects after a websocket, to a host by its name and without a port too", async () => {
  await using nexus = await startTestNexus();
  await assert.rejects(wsconnect({ servers: "ws://127.0.0.1:1", reconnect: false, timeout: 200 }));
  await using client = await connectNex({ servers: [`nats://localhost:${nexus.server.port}`] });
  assert.equal((await client.nodes()).length, 1);
  await assert.rejects(connectNex({ servers: ["nats://127.0.0.9"], timeoutMs: 500 }), /127\.0\.0\.9/);
});

test("the program's own connections, from before and after, keep the transport that they asked for", async () => {
  await using nexus = await startTestNexus();
  const { url } = nexus.server;
  const before = await connect({ servers: url, maxReconnectAttempts: -1, reconnectTimeWait: 50 });
  await using _node = await startTestNode({ server: url });
  const after = await connect({ servers: url, maxReconnectAttempts: -1, reconnectTimeWait: 50 });
  await using _other = await startTestNode({ server: url });
  try {
    const back = Promise.all([before, after].map(reconnected));
    await nexus.server.restart();
    await back;
    for (const connection of [before, after])
      assert.equal(transportOf(connection).constructor, NodeTransport);
    while ((await nexus.client.nodes()).length < 3) await new Promise((resolve) => setTimeout(resolve, 20));
  } finally {
    await Promise.all([before.close(), after.close()]);
  }
});
