/** How listeners learn of routes: several of them, later ones, dead nodes, and workloads that want the same route. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { connect } from "@nats-io/transport-node";
import { connectNex } from "@nexengine/client";
import { NexError } from "@nexengine/protocol";
import { httpSubject, routesSubject } from "@nexengine/protocol/subjects";
import { startTestNatsServer, startTestNexus, startTestNode } from "@nexengine/testing";
import { eventually } from "../packages/testing/src/observe.ts";
import { deploy, issuer } from "./support/counting.ts";
import { anyPort, ask, askUntil, deployRoutes, freePort, route } from "./support/http.ts";
import { Victim } from "./support/victim.ts";

const config = { http: anyPort };
const say = (word: string): string => `module.exports = () => ${JSON.stringify(word)}`;

test("two listeners, one of them later than the function, lead to it", async () => {
  await using nexus = await startTestNexus({ config });
  const { server, client } = nexus;
  await deployRoutes(client, "f", say("well"), [route("/a")]);
  await using later = await startTestNode({ server: server.url, config });
  for (const node of [nexus.node, later]) assert.equal((await askUntil(node, "/a", 200)).body, '"well"');
});

test("requests go to all copies, and a stopped workload takes its routes away", async () => {
  await using nexus = await startTestNexus({ config });
  const { server, client, node } = nexus;
  await using other = await startTestNode({ server: server.url });
  const source = "module.exports = () => env.COPY";
  const copies = [];
  for (const [at, nodeId] of [node.id, other.id].entries())
    copies.push(
      await deployRoutes(client, "f", source, [route("/a")], {
        node: nodeId,
        environment: { COPY: String(at) },
      }),
    );
  const seen = new Set<string>();
  await eventually(async () => {
    seen.add((await askUntil(node, "/a", 200)).body);
    return seen.size === 2 ? true : undefined;
  });
  for (const { nodeId, id, name } of copies)
    await client.stop({
      nodeId,
      workloadId: id,
      name,
      issuer: issuer,
    });
  await askUntil(node, "/a", 404);
});

test("routes of a killed node give 503, and vanish when they are not announced any more", async () => {
  await using server = await startTestNatsServer();
  const tuning = { routesAnnounceMs: 500, routesSilentMs: 4_000 };
  await using victim = new Victim({
    ...{ server: server.url, sandbox: "process", nodeLostTimeoutMs: 1_000, ephemeral: true, tuning },
  });
  await victim.start();
  await using client = await connectNex({ servers: [server.url] });
  await deployRoutes(client, "f", say("well"), [route("/a")]);
  await using node = await startTestNode({ server: server.url, config, tuning });
  await askUntil(node, "/a", 200);
  await victim.end("SIGKILL");
  const down = await askUntil(node, "/a", 503);
  assert.equal(down.headers["retry-after"], "1");
  await askUntil(node, "/a", 404);
});

test("a second workload on a route is refused, and a new version of the first one is not", async () => {
  await using nexus = await startTestNexus({ config });
  const { client, server } = nexus;
  await using other = await startTestNode({ server: server.url });
  await deployRoutes(client, "one", say("one"), [route("/a/:x", { methods: ["GET"] })], {
    node: nexus.node.id,
  });
  const second = (routes = [route("/a/:y")]) =>
    deployRoutes(client, "two", say("two"), routes, { node: other.id });
  await assert.rejects(second(), (error) => {
    assert.ok(error instanceof NexError && error.code === "route_taken", String(error));
    assert.match(error.message, /the workload "one" has the route \/a\/:x/);
    return true;
  });
  assert.deepEqual((await client.info(other.id)).machines, []);
  await second([route("/a/:y", { methods: ["POST"] }), route("/a/*", { name: "rest" })]);
  await deployRoutes(client, "one", say("new one"), [route("/a/:z", { methods: ["GET"] })], {
    node: other.id,
  });
  assert.equal((await askUntil(nexus.node, "/a/1", 200, { method: "POST" })).body, '"two"');
});

test("of two workloads that got the same route, the one that was deployed first has it, and the other one says so", async () => {
  await using nexus = await startTestNexus({ config });
  const { client, server, node } = nexus;
  await using connection = await connect({ servers: server.url });
  const earlier = JSON.stringify({
    ...{ version: 1, copy: "c", workload_id: "w", since: 1 },
    routes: [{ route: "/a", auth: "none" }],
  });
  await deployRoutes(client, "late", say("late"), [route("/a"), route("/b", { name: "b" })]);
  assert.equal((await askUntil(node, "/a", 200)).body, '"late"');
  connection.subscribe(httpSubject("default", "early"), {
    callback: (_, message) => {
      message.respond("early");
    },
  });
  connection.publish(routesSubject("default", "early"), earlier);
  await eventually(async () => ((await ask(node, "/a")).body === "early" ? true : undefined));
  assert.equal((await ask(node, "/b")).body, '"late"');
  const reason = await eventually(async () => {
    const [found] = (await client.info(node.id)).machines;
    return (found as { nex?: { reason?: string } } | undefined)?.nex?.reason;
  });
  assert.match(reason, /route \/a.*its route is taken by the workload "early"/);
  // It gets the route when the other one withdraws.
  connection.publish(routesSubject("default", "early"), earlier.replace(/"routes":.*/, '"routes":[]}'));
  await eventually(async () => ((await ask(node, "/a")).body === '"late"' ? true : undefined));
});

test("announcements that are none, or of another namespace than their subject says, change nothing", async () => {
  await using nexus = await startTestNexus({ config });
  const { client, server, node } = nexus;
  await deployRoutes(client, "f", say("well"), [route("/a")]);
  await askUntil(node, "/a", 200);
  await using connection = await connect({ servers: server.url });
  const good = { version: 1, copy: "c", workload_id: "w", since: 1, routes: [{ route: "/x", auth: "none" }] };
  const bad: unknown[] = [
    ...["", "[]", "null", "{".repeat(40)],
    ...[
      { ...good, version: 2 },
      { ...good, since: -1 },
      { ...good, more: 1 },
      { ...good, copy: "" },
    ],
    ...[
      { ...good, routes: "x" },
      { ...good, routes: Array.from({ length: 65 }, () => good.routes[0]) },
    ],
    ...[
      { ...good, routes: [{ route: "x", auth: "none" }] },
      { ...good, routes: [{ route: "/x" }] },
    ],
    { ...good, routes: [{ route: "/x", auth: { accounts: ["A"] } }] },
    { ...good, padding: "x".repeat(200_000) },
  ];
  for (const one of bad)
    connection.publish(routesSubject("default", "bad"), typeof one === "string" ? one : JSON.stringify(one));
  connection.publish("$NEX.ROUTES.default", JSON.stringify(good));
  connection.publish("$NEX.ROUTES.default.a.b", JSON.stringify(good));
  connection.publish("$NEX.ROUTES.default.bad!", JSON.stringify(good));
  // A good one that comes after them shows that they have been read.
  const last = { ...good, routes: [{ route: "/last", auth: "none" }] };
  connection.publish(routesSubject("default", "last"), JSON.stringify(last));
  await askUntil(node, "/last", 503);
  assert.equal((await ask(node, "/x")).status, 404);
  assert.equal((await ask(node, "/a")).status, 200);
});

test("a namespace with its own connection is believed there, and nowhere else", async () => {
  const config = `accounts {
    NODES { users: [ { user: node, password: x } ] }
    ACME { jetstream: enabled, users: [ { user: acme, password: x } ] }
  }`;
  await using server = await startTestNatsServer({ config });
  const loginOf = (user: string) => ({ servers: [server.url], user, password: "x" });
  await using node = await startTestNode({
    server: server.url,
    login: loginOf("node"),
    config: {
      http: anyPort,
      namespaces: { acme: { connection: { url: server.url, user: "acme", password: "x" } }, "*": {} },
    },
  });
  const announcement = (path: string) =>
    JSON.stringify({
      ...{ version: 1, copy: "c", workload_id: "w", since: 1 },
      routes: [{ route: path, auth: "none" }],
    });
  const speak = async (user: string, namespace: string, path: string): Promise<void> => {
    const { user: name, password: pass } = loginOf(user);
    await using connection = await connect({ servers: server.url, user: name, pass });
    connection.publish(routesSubject(namespace, path.slice(1)), announcement(path));
    await connection.flush();
  };
  await speak("acme", "other", "/other-by-acme");
  await speak("node", "acme", "/acme-by-node");
  await speak("node", "other", "/other");
  await speak("acme", "acme", "/acme");
  // Nobody answers on these routes, but they are known.
  for (const path of ["/other", "/acme"]) await askUntil(node, path, 503);
  await askUntil(node, "/nothing", 404);
  for (const path of ["/other-by-acme", "/acme-by-node"])
    assert.equal((await ask(node, path)).status, 404, path);
});

test("hosts belong to the namespaces that the configuration lists", async () => {
  const hosts = { "shop.example": ["acme"], "*": ["acme", "default"] };
  await using nexus = await startTestNexus({ config: { http: { ...anyPort, hosts } } });
  const { client, node } = nexus;
  const acme = nexus.inNamespace("acme");
  const third = nexus.inNamespace("third");
  const both = (word: string) => [route("shop.example/a"), route(`/${word}`, { name: "own" })];
  await deployRoutes(client, "f", say("default"), both("default"));
  await deployRoutes(third, "f", say("third"), both("third"));
  const shop = { headers: { Host: "shop.example" } };
  await askUntil(node, "/default", 200);
  await askUntil(node, "/a", 404, shop);
  // A route without a host does not count for a listed one.
  assert.equal((await ask(node, "/default", shop)).status, 404);
  await deployRoutes(acme, "f", say("acme"), both("acme"));
  assert.equal((await askUntil(node, "/a", 200, shop)).body, '"acme"');
  await askUntil(node, "/acme", 200);
  assert.equal((await ask(node, "/third")).status, 404);
});

test("a paused route is taken away, and comes back when it goes on", async () => {
  await using nexus = await startTestNexus({ config });
  const { client, node } = nexus;
  const { id } = await deployRoutes(client, "f", say("well"), [
    route("/a", { name: "a" }),
    route("/b", { name: "b" }),
  ]);
  for (const path of ["/a", "/b"]) await askUntil(node, path, 200);
  const set = (trigger: string, action: "pause" | "resume") => {
    const at = { nodeId: node.id, workloadId: id, name: "f", trigger, issuer };
    return action === "pause" ? client.pauseTrigger(at) : client.resumeTrigger(at);
  };
  await set("a", "pause");
  await askUntil(node, "/a", 404);
  assert.equal((await ask(node, "/b")).status, 200);
  await set("b", "pause");
  await askUntil(node, "/b", 404);
  await set("a", "resume");
  await askUntil(node, "/a", 200);
  assert.equal((await ask(node, "/b")).status, 404);
});

test("a listener whose node is in lame duck mode answers that it is about to end", async () => {
  await using nexus = await startTestNexus({ config });
  const { client, node } = nexus;
  const slow = "module.exports = () => new Promise((resolve) => setTimeout(resolve, 4_000, 'late'))";
  await deployRoutes(client, "slow", slow, [route("/slow")]);
  const other = await deployRoutes(client, "f", say("well"), [route("/a")]);
  await askUntil(node, "/a", 200);
  // The node waits for this call.
  const waiting = ask(node, "/slow");
  assert.equal((await ask(node, "/a")).status, 200);
  await client.lameDuck(other.nodeId);
  const refused = await askUntil(node, "/a", 503);
  assert.match(refused.body, /about to end/);
  assert.equal(refused.headers.connection, "close");
  assert.equal((await waiting).status, 200);
});

test("a listener finishes its requests before its node ends, and an address in use is an error", async () => {
  await using nexus = await startTestNexus({ config });
  await deployRoutes(nexus.client, "f", say("well"), [route("/a")]);
  await askUntil(nexus.node, "/a", 200);
  const listen = nexus.node.httpAddress ?? "";
  await assert.rejects(
    startTestNode({ server: nexus.server.url, config: { http: { listen } } }),
    (error) => error instanceof NexError && error.code === "port_taken",
  );
  const port = await freePort();
  const other = await startTestNode({
    server: nexus.server.url,
    config: { http: { listen: `127.0.0.1:${port}` } },
  });
  await askUntil(other, "/a", 200);
  const slow = "module.exports = () => new Promise((resolve) => setTimeout(resolve, 500, 'late'))";
  await deploy(nexus.client, {
    name: "slow",
    artifact: { bytes: Buffer.from(slow) },
    triggerSubjects: [],
    triggers: [route("/slow")],
    node: nexus.node.id,
  });
  await askUntil(other, "/slow", 200);
  const waiting = ask(other, "/slow");
  // The request is in work once its call has begun.
  await eventually(async () => ((await ask(other, "/a")).status === 200 ? true : undefined));
  await other.stop();
  assert.equal((await waiting).status, 200);
  await assert.rejects(ask({ httpAddress: `127.0.0.1:${port}` }, "/a"));
});

test("a successor in the same process takes the address over, and requests go on", async () => {
  await using server = await startTestNatsServer();
  await using client = await connectNex({ servers: [server.url] });
  const directory = mkdtempSync(join(tmpdir(), "nex-http-"));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rmSync(directory, { recursive: true, force: true }));
  const options = {
    server: server.url,
    directory,
    config: { http: { listen: `127.0.0.1:${await freePort()}` } },
  };
  const first = await startTestNode(options);
  await deployRoutes(client, "f", say("well"), [route("/a")]);
  await askUntil(first, "/a", 200);
  const second = await startTestNode({ ...options, predecessor: first.handOver() });
  stack.use(second);
  await first.ended;
  assert.equal(second.httpAddress, options.config.http.listen);
  assert.equal((await askUntil(second, "/a", 200)).body, '"well"');
});
