import assert from "node:assert/strict";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import {
  type JetStreamManager,
  jetstreamManager,
  RetentionPolicy,
  type StreamConfig,
} from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/nats-core";
import { encodeEvent, encodeLogLine } from "@nexengine/protocol/messages";
import {
  allEventsSubject,
  allLogsSubject,
  eventStreamName,
  eventSubject,
  logStreamName,
  logSubject,
} from "@nexengine/protocol/subjects";
import { createKey } from "@nexengine/protocol/tokens";
import { startTestNatsServer } from "@nexengine/testing";
import { connectNex, NexClient } from "../client.ts";
import type { LogEntry } from "../entries.ts";
import type { LogHistoryOptions } from "./history.ts";
import type { HistoryFeed } from "./history-feed.ts";

const nodeId = createKey("node").publicKey;
const namespace = "default";

interface StartOptions {
  jetstream?: boolean;
  storeDirectory?: string;
}

/** A server with a stream of logs, which nobody but the test writes. */
class Bench implements AsyncDisposable {
  readonly client: NexClient;
  readonly manager: JetStreamManager;
  readonly server: Awaited<ReturnType<typeof startTestNatsServer>>;
  /** Writes; it stays connected while the client is not. */
  readonly #stack: AsyncDisposableStack;

  constructor(
    server: Bench["server"],
    client: NexClient,
    manager: JetStreamManager,
    stack: AsyncDisposableStack,
  ) {
    this.server = server;
    this.client = client;
    this.manager = manager;
    this.#stack = stack;
  }

  static async start({ jetstream = true, storeDirectory }: StartOptions = {}): Promise<Bench> {
    await using stack = new AsyncDisposableStack();
    const server = stack.use(await startTestNatsServer({ jetstream, storeDirectory }));
    const client = stack.use(await connectNex({ servers: [server.url] }));
    const manager = await jetstreamManager(client.connection, { checkAPI: false });
    return new Bench(server, client, manager, stack.move());
  }

  get connection(): NatsConnection {
    return this.client.connection;
  }

  async addStream(config: Partial<StreamConfig> = {}, of = namespace): Promise<void> {
    await this.manager.streams.add({
      name: logStreamName(of),
      subjects: [allLogsSubject(of)],
      retention: RetentionPolicy.Limits,
      allow_direct: true,
      ...config,
    });
  }

  async addEventStream(of: string): Promise<void> {
    await this.manager.streams.add({
      name: eventStreamName(of),
      subjects: [allEventsSubject(of)],
      allow_direct: true,
    });
  }

  /** Writes lines of a workload, and waits until the stream has the last one. */
  async write(workloadName: string, texts: readonly string[], swapped = false): Promise<void> {
    const subject = subjectOf(workloadName, swapped);
    const last = texts.length - 1;
    for (const text of texts.slice(0, last)) this.connection.publish(subject, line(text));
    await this.connection.request(subject, line(texts[last] ?? ""), { timeout: 60_000 });
  }

  /** Restarts the server, and waits until the client is back. @param change Done while the server is down. */
  async restart(change?: () => void): Promise<void> {
    const back = (async () => {
      for await (const { type } of this.connection.status()) if (type === "reconnect") return;
    })();
    if (change !== undefined) await this.server.kill();
    change?.();
    await this.server.restart();
    await back;
    await this.connection.flush();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

const idOf = (workloadName: string): string => `dc2f2m1ksdudki29${workloadName.padEnd(4, "0").slice(0, 4)}`;
const line = (text: string): Uint8Array => encodeLogLine({ text, level: "INFO", id: "w" });

function subjectOf(workloadName: string, swapped = false): string {
  const id = idOf(workloadName);
  const [first, second] = swapped ? [id, workloadName] : [workloadName, id];
  return logSubject({ namespace, nodeId, workloadName: first, workloadId: second });
}

const numbered = (name: string, count: number): string[] =>
  Array.from({ length: count }, (_, at) => `${name} ${at}`);

async function textsOf(feed: AsyncIterable<LogEntry>): Promise<string[]> {
  const texts: string[] = [];
  for await (const { text } of feed) texts.push(text);
  return texts;
}

async function history({ client }: Bench, options: LogHistoryOptions): Promise<string[]> {
  return await textsOf(await client.logHistory(options));
}

test("logHistory gives the lines of the selected workloads in their order, and ends", async () => {
  await using bench = await Bench.start();
  await bench.addStream();
  await bench.write("echo", ["a"]);
  await bench.write("sum", ["b"]);
  await bench.write("echo", ["c"], true);
  bench.connection.publish(subjectOf("echo"), "no line");
  bench.connection.publish(subjectOf("echo"), "");
  bench.connection.publish(`${subjectOf("echo")}.further`, line("of another subject"));
  await bench.write("sum", ["d"]);
  assert.deepEqual(await history(bench, {}), ["a", "b", "c", "d"]);
  assert.deepEqual(await history(bench, { workload: "echo" }), ["a", "c"]);
  assert.deepEqual(await history(bench, { workload: idOf("sum") }), ["b", "d"]);
  assert.deepEqual(await history(bench, { workloadName: "echo" }), ["a", "c"]);
  assert.deepEqual(await history(bench, { workloadId: idOf("echo") }), ["a", "c"]);
  assert.deepEqual(await history(bench, { workloadName: "echo", workloadId: idOf("echo") }), ["a", "c"]);
  assert.deepEqual(await history(bench, { workloadName: "echo", workloadId: idOf("sum") }), []);
  assert.deepEqual(await history(bench, { nodeId }), ["a", "b", "c", "d"]);
  assert.deepEqual(await history(bench, { nodeId: createKey("node").publicKey }), []);
  const [entry] = await Array.fromAsync(await bench.client.logHistory({ tail: 1 }));
  assert.ok(entry !== undefined && Math.abs(Date.now() - entry.receivedAt.getTime()) < 60_000);
  assert.throws(() => bench.client.logHistory({ nodeId: "elsewhere" }), { code: "node_not_found" });
});

test("logHistory since a time gives the lines of all workloads from then on", async () => {
  await using bench = await Bench.start();
  await bench.addStream();
  await bench.write("echo", numbered("before", 20));
  await bench.write("sum", numbered("before", 20));
  const all = await Array.fromAsync(await bench.client.logHistory());
  // The times of a stream are finer than those of a client.
  while (Date.now() <= (all.at(-1)?.receivedAt.getTime() ?? 0)) await bench.client.flush();
  const since = new Date();
  await bench.write("echo", ["1"]);
  await bench.write("sum", ["2"]);
  assert.deepEqual(await history(bench, { since }), ["1", "2"]);
  assert.deepEqual(await history(bench, { since, workload: "echo" }), ["1"]);
  assert.deepEqual(await history(bench, { since, tail: 1 }), ["2"]);
  assert.deepEqual(await history(bench, { since, tail: 10 }), ["1", "2"]);
  assert.equal((await history(bench, { since: new Date(0) })).length, 42);
  assert.equal((await history(bench, { since: new Date(-8.64e15) })).length, 42);
  assert.deepEqual(await history(bench, { since: new Date(Date.now() + 3_600_000) }), []);
  assert.deepEqual(await history(bench, { since: new Date(8.64e15) }), []);
});

test("logHistory gives the last lines of one workload among many of others", async () => {
  await using bench = await Bench.start();
  await bench.addStream();
  assert.deepEqual(await history(bench, { tail: 5 }), []);
  await bench.write("rare", numbered("early", 30));
  await bench.write("loud", numbered("loud", 20_000));
  await bench.write("rare", numbered("late", 3));
  await bench.write("loud", numbered("loud again", 20_000));
  assert.deepEqual(await history(bench, { workload: "rare", tail: 3 }), numbered("late", 3));
  assert.deepEqual(await history(bench, { workload: "rare", tail: 5 }), [
    "early 28",
    "early 29",
    ...numbered("late", 3),
  ]);
  assert.equal((await history(bench, { workload: "rare", tail: 100 })).length, 33);
  assert.deepEqual(await history(bench, { tail: 2 }), ["loud again 19998", "loud again 19999"]);
  assert.equal((await history(bench, { tail: 1_000_000 })).length, 10_000);
  assert.deepEqual(await history(bench, { workload: "nobody", tail: 5 }), []);
});

test("logHistory says what is missing where there is no history", async () => {
  await using bench = await Bench.start();
  const missing = { code: "history_missing", message: /no stream NEX_LOGS_default/ };
  await assert.rejects(bench.client.logHistory(), missing);
  await assert.rejects(bench.client.eventHistory(), { code: "history_missing" });
  await bench.addStream({ allow_direct: false });
  await assert.rejects(bench.client.logHistory(), {
    code: "history_missing",
    message: /does not let its messages be read/,
    advice: /--allow-direct/,
  });
  await using without = await Bench.start({ jetstream: false });
  await assert.rejects(without.client.logHistory(), { code: "history_missing", message: /JetStream is off/ });
});

test("a history that follows loses no line and gives none twice while the server restarts", async () => {
  const count = 10_000;
  await using bench = await Bench.start();
  await bench.addStream();
  await bench.write("echo", numbered("line", count / 2));
  await using feed = await bench.client.logHistory({ follow: true });
  const texts: string[] = [];
  for await (const { text } of feed) {
    texts.push(text);
    if (texts.length === count / 4) await bench.restart();
    if (texts.length === count / 2) {
      const rest = numbered("line", count).slice(count / 2);
      await bench.write("echo", rest.slice(0, 100));
      await bench.restart();
      await bench.write("echo", rest.slice(100));
    }
    if (texts.length === count) break;
  }
  assert.deepEqual(texts, numbered("line", count));
});

test("a history with tail goes on where it ended", async () => {
  await using bench = await Bench.start();
  await bench.addStream();
  await bench.write("echo", numbered("old", 50));
  await using feed = await bench.client.logHistory({ tail: 2, follow: true, workload: "echo" });
  const lines = textIterator(feed);
  assert.deepEqual([await lines.next(), await lines.next()], ["old 48", "old 49"]);
  await bench.write("sum", ["of another"]);
  await bench.write("echo", ["new"]);
  assert.equal(await lines.next(), "new");
});

function textIterator(feed: HistoryFeed<LogEntry>): { next(): Promise<string | undefined> } {
  const iterator = feed[Symbol.asyncIterator]();
  return {
    next: async () => {
      const { value, done } = await iterator.next();
      return done === true ? undefined : value.text;
    },
  };
}

test("a history that follows ends with an error when its stream is deleted", async () => {
  await using bench = await Bench.start();
  await bench.addStream();
  await bench.write("echo", ["a"]);
  const lines = textIterator(await bench.client.logHistory({ follow: true }));
  assert.equal(await lines.next(), "a");
  const next = lines.next();
  await bench.manager.streams.delete(logStreamName(namespace));
  await assert.rejects(next, { code: "history_missing" });
});

test("a history that follows goes on in another stream of the same name", async () => {
  await using bench = await Bench.start();
  await bench.addStream();
  await bench.write("echo", numbered("old", 10));
  const lines = textIterator(await bench.client.logHistory({ follow: true, tail: 1 }));
  assert.equal(await lines.next(), "old 9");
  const since = new Date(Date.now() + 3_600_000);
  const unread = textIterator(await bench.client.logHistory({ follow: true, since }));
  await bench.manager.streams.delete(logStreamName(namespace));
  await bench.addStream();
  await bench.write("echo", ["new"]);
  assert.deepEqual(await Promise.all([lines.next(), unread.next()]), ["new", "new"]);
});

test("a history that follows gives the lines whose numbers a server gives again after a loss", async () => {
  const storeDirectory = mkdtempSync(join(tmpdir(), "nex-history-"));
  const saved = mkdtempSync(join(tmpdir(), "nex-history-"));
  try {
    await using bench = await Bench.start({ storeDirectory });
    await bench.addStream();
    await bench.write("echo", ["kept"]);
    await bench.restart(() => cpSync(storeDirectory, saved, { recursive: true }));
    await bench.write("echo", numbered("lost", 5));
    const lines = textIterator(await bench.client.logHistory({ follow: true }));
    for (const text of ["kept", ...numbered("lost", 5)]) assert.equal(await lines.next(), text);
    await bench.restart(() => {
      rmSync(storeDirectory, { recursive: true });
      cpSync(saved, storeDirectory, { recursive: true });
    });
    await bench.write("echo", numbered("new", 3));
    for (const text of numbered("new", 3)) assert.equal(await lines.next(), text);
  } finally {
    for (const folder of [storeDirectory, saved]) rmSync(folder, { recursive: true, force: true });
  }
});

test("a reader that stops in the middle has got one batch, and may leave", async () => {
  await using bench = await Bench.start();
  await bench.addStream();
  await bench.write("echo", numbered("line", 20_000));
  const before = bench.connection.stats().inMsgs;
  const feed = await bench.client.logHistory({ follow: true });
  const lines = textIterator(feed);
  assert.equal(await lines.next(), "line 0");
  await bench.client.flush();
  assert.ok(bench.connection.stats().inMsgs - before < 2_000);
  await feed[Symbol.asyncDispose]();
  const rest: string[] = [];
  for (let text = await lines.next(); text !== undefined; text = await lines.next()) rest.push(text);
  assert.ok(rest.length < 1_000, `${rest.length} more`);
});

test("a history that waits ends by its signal, and with the connection", async () => {
  await using bench = await Bench.start();
  await bench.addStream();
  const stopping = new AbortController();
  const one = history(bench, { follow: true, signal: stopping.signal });
  await bench.client.flush();
  stopping.abort();
  assert.deepEqual(await one, []);
  assert.deepEqual(await history(bench, { follow: true, signal: AbortSignal.abort() }), []);
  const other = textsOf(await bench.client.logHistory({ follow: true }));
  await bench.client.close();
  assert.deepEqual(await other, []);
});

test("eventHistory gives the events of the namespace and of the nodes by their times", async () => {
  await using bench = await Bench.start();
  const publish = async (of: string, id: string): Promise<void> => {
    const bytes = encodeEvent({ id, type: "heartbeat", source: "N", timeMs: 0, data: {} });
    await bench.connection.request(eventSubject(of, "heartbeat"), bytes);
  };
  const ids = async (client = bench.client): Promise<unknown[]> => {
    const entries = await Array.fromAsync(await client.eventHistory());
    return entries.map(({ event }) => event.id);
  };
  await bench.addEventStream(namespace);
  await publish(namespace, "1");
  assert.deepEqual(await ids(), ["1"]);
  await bench.addEventStream("system");
  await bench.addEventStream("other");
  for (const [of, id] of [
    ["system", "2"],
    ["other", "x"],
    [namespace, "3"],
    ["system", "4"],
  ] as const)
    await publish(of, id);
  bench.connection.publish(eventSubject(namespace, "heartbeat"), "no event");
  assert.deepEqual(await ids(), ["1", "2", "3", "4"]);
  assert.deepEqual(await ids(new NexClient(bench.connection, "system", false)), ["2", "4"]);
});
