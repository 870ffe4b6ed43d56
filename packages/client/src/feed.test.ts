import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import type { NatsConnection } from "@nats-io/nats-core";
import { encodeEvent, encodeLogLine } from "@nexengine/protocol/messages";
import { eventSubject, logSubject } from "@nexengine/protocol/subjects";
import { createKey } from "@nexengine/protocol/tokens";
import { Feed } from "./feed.ts";
import { startBench } from "./testing/client.ts";

const nodeId = createKey("node").publicKey;
const workloadId = "dc2f2m1ksdudki293gng";
const echo = { namespace: "default", nodeId, workloadName: "echo", workloadId };

const line = (text: string): Uint8Array => encodeLogLine({ text, level: "INFO", id: workloadId });
const event = (type: "heartbeat" | "workload_deployed"): Uint8Array =>
  encodeEvent({ id: "1", type, source: "N", timeMs: 0, data: { workload_name: "echo" } });

/** The next entries. */
async function take<T>(feed: AsyncIterable<T>, count: number): Promise<T[]> {
  const entries: T[] = [];
  for await (const entry of feed) if (entries.push(entry) === count) break;
  return entries;
}

/** All entries until the feed ends by itself. */
async function rest<T>(feed: AsyncIterable<T>): Promise<T[]> {
  const entries: T[] = [];
  for await (const entry of feed) entries.push(entry);
  return entries;
}

const numbers = (connection: NatsConnection, options = {}): Feed<number> =>
  new Feed(connection, ["n.*"], (message) => Number(message.string()) || undefined, options);

test("logs gives lines of this namespace, with id and name in either order", async () => {
  await using bench = await startBench();
  const other = await bench.connection();
  await using feed = bench.client.logs();
  await bench.client.flush();
  const before = Date.now();
  other.publish(logSubject({ ...echo, namespace: "another" }), line("of another namespace"));
  other.publish(logSubject(echo), line("name first"));
  const swapped = { ...echo, workloadName: workloadId, workloadId: "echo" };
  other.publish(logSubject(swapped), line("id first"));
  other.publish(logSubject(echo), JSON.stringify({ text: "levelled", level: "WARN+1", id: workloadId }));
  const entries = await take(feed, 3);
  assert.deepEqual(
    entries.map(({ receivedAt, ...entry }) => entry),
    [
      { ...echo, level: "INFO", text: "name first" },
      { ...echo, level: "INFO", text: "id first" },
      { ...echo, level: "WARN+1", text: "levelled" },
    ],
  );
  for (const { receivedAt } of entries) assert.ok(receivedAt.getTime() >= before);
});

test("logs gives only what was asked for, and passes over what is no log line", async () => {
  await using bench = await startBench();
  const other = await bench.connection();
  const another = createKey("node").publicKey;
  const wanted = [
    { nodeId },
    { workloadName: "echo" },
    { workloadId },
    { nodeId, workloadName: "echo", workloadId },
  ];
  const feeds = wanted.map((filter) => bench.client.logs(filter));
  await bench.client.flush();
  for (const bytes of ["", "{", "null", '{"text":5}', '{"level":"INFO"}', '{"text":"x","level":4}']) {
    other.publish(logSubject(echo), bytes);
  }
  other.publish(logSubject({ ...echo, nodeId: another }), line("node"));
  other.publish(logSubject({ ...echo, workloadName: "sum" }), line("name"));
  other.publish(logSubject({ ...echo, workloadId: "dc2f2m1ksdudki293gn0" }), line("id"));
  other.publish(logSubject(echo), line("all"));
  await other.flush();
  await bench.client.flush();
  const texts = feeds.map((feed) => take(feed, 3).then((entries) => entries.map(({ text }) => text)));
  await bench.client.close();
  assert.deepEqual(await Promise.all(texts), [
    ["name", "id", "all"],
    ["node", "id", "all"],
    ["node", "name", "all"],
    ["all"],
  ]);
});

test("events gives those of this namespace and of the nodes, and passes over what is none", async () => {
  await using bench = await startBench();
  const other = await bench.connection();
  await using feed = bench.client.events();
  await bench.client.flush();
  other.publish(eventSubject("another", "workload_deployed"), event("workload_deployed"));
  for (const bytes of ["", "{", "null", "{}", '{"type":"x"}'])
    other.publish(eventSubject("default", "x"), bytes);
  other.publish(eventSubject("default", "workload_deployed"), event("workload_deployed"));
  await other.flush();
  other.publish(eventSubject("system", "heartbeat"), event("heartbeat"));
  const entries = await take(feed, 2);
  assert.deepEqual(
    entries.map(({ namespace, type }) => [namespace, type]),
    [
      ["default", "workload_deployed"],
      ["system", "heartbeat"],
    ],
  );
  assert.deepEqual(entries[0]?.event.data, { workload_name: "echo" });
});

test("events in the namespace of the nodes gives each once", async () => {
  await using bench = await startBench({ client: { namespace: "system" } });
  const feed = bench.client.events();
  bench.client.connection.publish(eventSubject("system", "heartbeat"), event("heartbeat"));
  await bench.client.flush();
  await bench.client.close();
  assert.equal((await rest(feed)).length, 1);
});

test("a feed that nobody reads drops the oldest entries, and counts them", async () => {
  await using bench = await startBench();
  const { connection } = bench.client;
  const feed = numbers(connection, { queueMax: 3 });
  for (let n = 1; n <= 10; n++) connection.publish("n.x", String(n));
  await connection.flush();
  assert.equal(feed.dropped, 7);
  assert.deepEqual(await take(feed, 3), [8, 9, 10]);
});

test("a feed keeps 10,000 entries unless told otherwise", async () => {
  await using bench = await startBench();
  const { connection } = bench.client;
  const feed = numbers(connection);
  for (let n = 1; n <= 10_002; n++) connection.publish("n.x", String(n));
  await connection.flush();
  assert.equal(feed.dropped, 2);
  assert.equal((await take(feed, 1))[0], 3);
});

/** Ways to end a feed whose reader waits. */
const endings: Record<
  string,
  (feed: Feed<number>, connection: NatsConnection, abort: AbortController) => Promise<void>
> = {
  "being disposed of": (feed) => feed[Symbol.asyncDispose](),
  "its signal": async (_feed, _connection, abort) => abort.abort(),
  "the end of the connection": (_feed, connection) => connection.close(),
};
for (const [what, end] of Object.entries(endings)) {
  test(`a loop over a feed is ended by ${what}, also one that waits`, async () => {
    await using bench = await startBench();
    const connection = await bench.connection();
    const abort = new AbortController();
    const feed = numbers(connection, { signal: abort.signal });
    const first = Promise.withResolvers<void>();
    const read = (async () => {
      for await (const entry of feed) if (entry === 1) first.resolve();
    })();
    connection.publish("n.x", "1");
    await first.promise;
    await end(feed, connection, abort);
    await read;
    assert.deepEqual(await rest(feed), []);
  });
}

test("a feed whose signal has fired already gives nothing and asks for nothing", async () => {
  await using bench = await startBench();
  const { connection } = bench.client;
  const feed = numbers(connection, { signal: AbortSignal.abort() });
  const previous = connection.stats().inMsgs;
  connection.publish("n.x", "1");
  await connection.flush();
  assert.equal(connection.stats().inMsgs, previous);
  assert.deepEqual(await rest(feed), []);
});

test("a feed leaves nothing at a signal that outlives it", async () => {
  await using bench = await startBench();
  const { signal } = new AbortController();
  for (let round = 0; round < 3; round++) {
    await using _ = numbers(bench.client.connection, { signal });
    assert.equal(getEventListeners(signal, "abort").length, 1);
  }
  assert.equal(getEventListeners(signal, "abort").length, 0);
});

test("what came before the end of the connection can still be read", async () => {
  await using bench = await startBench();
  const connection = await bench.connection();
  const feed = numbers(connection);
  for (const n of [1, 2]) connection.publish("n.x", String(n));
  await connection.flush();
  await connection.close();
  assert.deepEqual(await rest(feed), [1, 2]);
});

test("leaving the loop ends the subscription", async () => {
  await using bench = await startBench();
  const { connection } = bench.client;
  const feed = numbers(connection);
  connection.publish("n.x", "1");
  await take(feed, 1);
  await connection.flush();
  const previous = connection.stats().inMsgs;
  connection.publish("n.x", "2");
  await connection.flush();
  assert.equal(connection.stats().inMsgs, previous);
});

test("two loops over one feed share its entries", async () => {
  await using bench = await startBench();
  const connection = await bench.connection();
  const feed = numbers(connection);
  const loops = [rest(feed), rest(feed)];
  for (let n = 1; n <= 100; n++) connection.publish("n.x", String(n));
  await connection.flush();
  await connection.close();
  const all = (await Promise.all(loops)).flat();
  assert.deepEqual(
    all.sort((a, b) => a - b),
    Array.from({ length: 100 }, (_, at) => at + 1),
  );
});

test("a feed that the server does not permit says so instead of waiting", async () => {
  const config = `authorization {
    users: [{ user: deaf, password: d, permissions: { subscribe: { deny: ["n.>", "$NEX.>"] } } }]
  }`;
  await using bench = await startBench({ config, client: { user: "deaf", password: "d" } });
  for (const feed of [numbers(bench.client.connection), bench.client.logs(), bench.client.events()]) {
    await assert.rejects(rest<unknown>(feed), {
      code: "connection_failed",
      message: /^Cannot watch: the NATS server does not permit it/,
    });
  }
});

test("a feed of a closed connection throws", async () => {
  await using bench = await startBench();
  await bench.client.close();
  assert.throws(() => bench.client.logs(), { code: "connection_failed" });
  assert.throws(() => bench.client.events(), { code: "connection_failed" });
});
