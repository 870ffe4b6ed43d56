import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { after, before, test } from "node:test";

import type { NatsServer } from "@nexengine/provision";
import { startTestNatsServer, until } from "@nexengine/testing";
import { pino } from "pino";
import { Connections, type ConnectionsOptions } from "../packages/node/src/connections/connections.ts";
import { hostServicesLogin } from "../packages/node/src/connections/logins.ts";
import { planPerRequestConnection } from "../packages/node/src/connections/per-request-connection.ts";

const log = pino({ level: "silent" });
let server: NatsServer;
before(async () => {
  server = await startTestNatsServer({ jetstream: false });
});
after(() => server.stop());

function open(options: Partial<ConnectionsOptions> = {}): Promise<Connections> {
  const login = { servers: [server.url] };
  return Connections.open({
    login,
    ofNamespaces: {
      acme: { login, jsDomain: "hub" },
      plain: undefined,
      "*": { login, jsDomain: undefined },
    },
    hostServices: hostServicesLogin({ nats_url: server.url }, login),
    connectTimeMs: 5_000,
    requestConnectionsMax: 2,
    log,
    ...options,
  });
}

const wish = { namespace: "acme", isFunction: true, own: [], lost: () => assert.fail("nothing was lost") };

test("a namespace has its own connection for everything, the one for all others, or the node's", async () => {
  await using connections = await open();
  await using acme = await connections.of(wish);
  assert.ok(acme.triggers !== connections.own);
  assert.deepEqual(
    [acme.hostServices === acme.triggers, acme.artifacts === acme.triggers, acme.jsDomain],
    [true, true, "hub"],
  );
  await using other = await connections.of({ ...wish, namespace: "other" });
  assert.ok(other.triggers !== acme.triggers && other.triggers !== connections.own);
  await using another = await connections.of({ ...wish, namespace: "another" });
  assert.equal(another.triggers, other.triggers);
  await using plain = await connections.of({ ...wish, namespace: "plain" });
  assert.deepEqual([plain.triggers === connections.own, plain.artifacts === connections.own], [true, true]);
});

test("host services of a namespace without a connection have that of the configuration, a function's only", async () => {
  await using connections = await open();
  await using plain = await connections.of({ ...wish, namespace: "plain" });
  assert.ok(plain.hostServices !== connections.own);
  await using service = await connections.of({ ...wish, namespace: "plain", isFunction: false });
  assert.equal(service.hostServices, connections.own);
  assert.equal(hostServicesLogin({ nats_url: "" }, {}), undefined);
});

test("per-request connections win for their purpose, and are closed with the request's workload", async () => {
  await using connections = await open();
  const own = [
    planPerRequestConnection("trigger_connection", {}, connections.loginOf("acme"), "node-servers"),
    planPerRequestConnection("host_services", {}, connections.loginOf("acme"), "node-servers"),
  ];
  await using usual = await connections.of(wish);
  const both = await connections.of({ ...wish, own });
  assert.equal(new Set([both.triggers, both.hostServices, both.artifacts, connections.own]).size, 4);
  assert.equal(both.artifacts, usual.artifacts);
  await assert.rejects(connections.of({ ...wish, own: own.slice(1) }), { code: "connection_limit" });
  await both[Symbol.asyncDispose]();
  assert.deepEqual([both.triggers.isClosed(), both.hostServices.isClosed()], [true, true]);
  assert.ok(!usual.artifacts.isClosed());
  await using services = await connections.of({ ...wish, own: own.slice(1) });
  assert.equal(services.triggers, usual.triggers);
  assert.ok(services.hostServices !== usual.hostServices);
});

test("a server that does not greet, or does not end, keeps a request for a bounded time, and holds no socket", async () => {
  for (const [greeting, reason] of [
    [undefined, /host_services: .*within 200 ms$/],
    ["INFO ".padEnd(65_536, " "), /host_services: .*greeting does not end$/],
  ] as const) {
    const sockets = new Set<Socket>();
    const silent = createServer((socket) => {
      sockets.add(socket);
      socket.on("error", () => undefined).on("close", () => sockets.delete(socket));
      if (greeting !== undefined) socket.write(`${greeting}  `);
    }).listen(0, "127.0.0.1");
    await once(silent, "listening");
    const { port } = silent.address() as AddressInfo;
    const login = { servers: [`nats://127.0.0.1:${port}`, `nats://127.0.0.1:${port}`] };
    try {
      await using connections = await open({
        ofNamespaces: { acme: { login, jsDomain: undefined }, plain: undefined },
        connectTimeMs: 200,
      });
      assert.equal(connections.isConnected("acme"), false);
      await assert.rejects(connections.of(wish), { code: "connection_unavailable" });
      const own = [planPerRequestConnection("host_services", {}, login, "node-servers")];
      const rejected = connections.of({ ...wish, namespace: "plain", own });
      await assert.rejects(rejected, { code: "connection_failed", message: reason });
    } finally {
      silent.close();
    }
    await until(() => sockets.size === 0);
  }
});
