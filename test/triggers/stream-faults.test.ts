/** Stream triggers when what they need is missing, goes, or comes back. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { DiscardPolicy } from "@nats-io/jetstream";
import { connectNex, type TriggerRequest, type TriggerStatus } from "@nexengine/client";
import type { NatsServer } from "@nexengine/provision";
import { eventOf, startTestNatsServer, startTestNexus, startTestNode, TestNexus } from "@nexengine/testing";
import { eventually, until } from "../../packages/testing/src/observe.ts";
import { deployTeller, jetStreamOf, publishAll, settled, Told } from "../support/triggered.ts";

const consumer = "nex_default_teller_stream";
const orders: TriggerRequest = { type: "stream", stream: "ORDERS" };

async function withStream(run: (nexus: TestNexus, told: Told) => Promise<void>): Promise<void> {
  await using nexus = await startTestNexus();
  const manager = await jetStreamOf(nexus.client);
  await manager.streams.add({ name: "ORDERS", subjects: ["orders.>"] });
  await run(nexus, new Told(nexus.client.connection));
}

/** A node and a client on a server that is there already. */
async function startTestNexusOn(url: string): Promise<TestNexus> {
  await using stack = new AsyncDisposableStack();
  const node = stack.use(await startTestNode({ server: url }));
  const client = stack.use(await connectNex({ servers: [url] }));
  return new TestNexus({ url } as NatsServer, node, client, stack.move());
}

async function status(nexus: TestNexus): Promise<TriggerStatus | undefined> {
  return (await nexus.client.workloadDetails("teller"))[0]?.nex?.triggers?.[0];
}

async function untilState(nexus: TestNexus, state: string): Promise<TriggerStatus> {
  return await eventually(async () => {
    const found = await status(nexus);
    return found?.state === state ? found : undefined;
  });
}

test("a deploy names the stream, bucket or dead letter stream that is not there", async () => {
  await withStream(async (nexus) => {
    const cases: [TriggerRequest, RegExp][] = [
      [{ type: "stream", stream: "ABSENT" }, /ABSENT|stream not found/],
      [{ type: "kv", bucket: "ABSENT" }, /stream not found/],
      [{ type: "object", bucket: "ABSENT" }, /stream not found/],
      [{ ...orders, dead: "nobody.has.this" }, /no stream has this subject/],
    ];
    for (const [trigger, text] of cases) {
      await assert.rejects(deployTeller(nexus, [trigger]), (error: Error & { code?: string }) => {
        assert.equal(error.code, "trigger_source_missing", error.message);
        assert.match(error.message, text);
        return true;
      });
    }
    assert.deepEqual(await nexus.client.workloadDetails("teller"), []);
  });
});

test("streams and subjects on a deny list, and buckets of others, are refused", async () => {
  const config = { deny_trigger_streams: ["SECRET*"], deny_trigger_subjects: ["orders.secret.>"] };
  await using nexus = await startTestNexus({ config });
  const manager = await jetStreamOf(nexus.client);
  await manager.streams.add({ name: "SECRETS", subjects: ["secrets.>"] });
  await manager.streams.add({ name: "ORDERS", subjects: ["orders.>"] });
  await manager.streams.add({ name: "NEX_DEAD_other", subjects: ["$NEX.DEAD.other.>"] });
  await manager.streams.add({ name: "KV_theirs", subjects: ["$KV.theirs.>"], description: "nex:other/fn" });
  await manager.streams.add({ name: "KV_own", subjects: ["$KV.own.>"], description: "nex:default/teller" });
  const cases: [TriggerRequest, RegExp][] = [
    [{ type: "stream", stream: "SECRETS" }, /SECRET\*/],
    [orders, /orders\.secret\.>/],
    [{ ...orders, filters: ["orders.secret.a"] }, /deny list/],
    [{ type: "stream", stream: "NEX_DEAD_other" }, /NEX_\*/],
    [{ type: "kv", bucket: "theirs" }, /another namespace/],
    [{ type: "kv", bucket: "own" }, /call itself without end/],
  ];
  for (const [trigger, text] of cases) {
    await assert.rejects(deployTeller(nexus, [trigger]), { code: "trigger_denied", message: text });
  }
  await deployTeller(nexus, [{ ...orders, filters: ["orders.open.*"] }]);
});

test("a consumer that is deleted under load stops its trigger, and a new deploy makes another", async () => {
  await withStream(async (nexus, told) => {
    const manager = await jetStreamOf(nexus.client);
    await deployTeller(nexus, [orders], { name: "teller" });
    await publishAll(nexus.client, "orders.new", ["a"]);
    await told.count(1);
    const event = await eventOf(nexus, "trigger_failed", () => manager.consumers.delete("ORDERS", consumer));
    assert.equal(event["trigger"], "stream");
    const failed = await untilState(nexus, "failed");
    assert.match(failed.problem ?? "", /was deleted; a new deploy makes another/);
    await publishAll(nexus.client, "orders.new", ["b"]);
    await deployTeller(nexus, [{ ...orders, from: { seq: 2 } }], { copy: "second" });
    await told.count(2);
    assert.deepEqual(told.texts, ["a", "b"]);
    assert.equal(told.all[1]?.copy, "second");
  });
});

test("a stream that is deleted and made anew under load is taken from its start", async () => {
  await withStream(async (nexus, told) => {
    const manager = await jetStreamOf(nexus.client);
    await deployTeller(nexus, [orders]);
    await publishAll(nexus.client, "orders.new", ["slow:50", "a"]);
    await told.count(2);
    await manager.streams.delete("ORDERS");
    await untilState(nexus, "unreachable");
    await manager.streams.add({ name: "ORDERS", subjects: ["orders.>"] });
    await publishAll(nexus.client, "orders.new", ["b", "c"]);
    await told.count(4);
    await settled(manager, "ORDERS", consumer);
    assert.equal((await untilState(nexus, "active")).problem, undefined);
    assert.deepEqual(told.texts.slice(2), ["b", "c"]);
  });
});

test("a full stream of dead letters keeps messages where they are, until there is room", async () => {
  await withStream(async (nexus, told) => {
    const manager = await jetStreamOf(nexus.client);
    const dead = { name: "GRAVE", subjects: ["grave.>"], max_msgs: 1, discard: DiscardPolicy.New };
    await manager.streams.add(dead);
    await publishAll(nexus.client, "grave.x", ["full"]);
    await deployTeller(nexus, [{ ...orders, dead: "grave.orders" }]);
    await publishAll(nexus.client, "orders.new", ["never"]);
    const stuck = await untilState(nexus, "unreachable");
    assert.match(
      stuck.problem ?? "",
      /Cannot keep a dead letter on grave\.orders: maximum messages exceeded/,
    );
    const { num_ack_pending } = await manager.consumers.info("ORDERS", consumer);
    assert.equal(num_ack_pending, 1);
    // Others go on.
    await publishAll(nexus.client, "orders.new", ["fine"]);
    await until(() => told.of("fine").length === 1);
    assert.equal((await manager.streams.info("GRAVE")).state.messages, 1);
  });
});

test("a server that is killed and comes back loses no message", async () => {
  const storeDirectory = mkdtempSync(join(tmpdir(), "nex-store-"));
  try {
    let server = await startTestNatsServer({ storeDirectory });
    await using stack = new AsyncDisposableStack();
    stack.defer(() => server.stop());
    const port = Number(new URL(server.url).port);
    const nexus = stack.use(await startTestNexusOn(server.url));
    const manager = await jetStreamOf(nexus.client);
    await manager.streams.add({ name: "ORDERS", subjects: ["orders.>"] });
    // It keeps what it has seen: what it would tell while the server is away is lost.
    const source = `const seen = new Set();
      export default async (subject, payload, call) => {
        if (call.trigger.type === "subject") return [...seen];
        const text = new TextDecoder().decode(payload);
        await new Promise((resolve) => setTimeout(resolve, 20));
        seen.add(text);
      };`;
    const triggers: TriggerRequest[] = [{ ...orders, ack_wait_ms: 2_000 }];
    await nexus.function(source, { name: "teller", triggerSubjects: ["seen"], triggers });
    const seen = async (): Promise<string[] | undefined> => {
      const reply = await nexus.call("seen").catch(() => undefined);
      return reply === undefined ? undefined : (JSON.parse(reply) as string[]);
    };
    const before = Array.from({ length: 200 }, (_, at) => `before ${at}`);
    await publishAll(nexus.client, "orders.new", before);
    await eventually(async () => ((await seen())?.length ?? 0) > 20 || undefined);
    process.kill(server.pid, "SIGKILL");
    server = await eventually(async () =>
      startTestNatsServer({ storeDirectory, port }).catch(() => undefined),
    );
    const after = Array.from({ length: 100 }, (_, at) => `after ${at}`);
    for (const text of after) {
      await eventually(async () =>
        nexus.client.connection.request("orders.new", text, { timeout: 1_000 }).catch(() => undefined),
      );
    }
    await eventually(async () => {
      const texts = new Set(await seen());
      return [...before, ...after].every((text) => texts.has(text)) || undefined;
    });
    await eventually(async () =>
      settled(manager, "ORDERS", consumer).then(
        () => true,
        () => undefined,
      ),
    );
  } finally {
    rmSync(storeDirectory, { recursive: true, force: true });
  }
});

test("strict order gives one message at a time over all copies, and a failing one holds the others", async () => {
  await withStream(async (nexus, told) => {
    await using other = await startTestNode({ server: nexus.server.url });
    const strict: TriggerRequest = { ...orders, order: "strict", backoff_ms: [30] };
    await deployTeller(nexus, [strict], { copy: "first", node: nexus.node.id });
    await deployTeller(nexus, [strict], { copy: "second", node: other.id });
    const texts = Array.from({ length: 30 }, (_, at) => String(at));
    texts[10] = "fail:2";
    await publishAll(nexus.client, "orders.new", texts);
    const calls = await told.count(32);
    const seen = calls.map(({ text }) => text);
    const expected = texts.flatMap((text) => (text === "fail:2" ? [text, text, text] : [text]));
    assert.deepEqual(seen, expected);
    assert.deepEqual([...new Set(calls.map(({ copy }) => copy))].toSorted(), ["first", "second"]);
  });
});

test("two copies on two nodes share a stream, each message goes to one of them", async () => {
  await withStream(async (nexus, told) => {
    await using other = await startTestNode({ server: nexus.server.url });
    await deployTeller(nexus, [orders], { copy: "first", node: nexus.node.id });
    await deployTeller(nexus, [orders], { copy: "second", node: other.id });
    const texts = Array.from({ length: 400 }, (_, at) => `m${at}`);
    await publishAll(nexus.client, "orders.new", texts);
    await told.count(400);
    await settled(await jetStreamOf(nexus.client), "ORDERS", consumer);
    assert.deepEqual(told.texts.toSorted(), texts.toSorted());
    assert.deepEqual([...new Set(told.all.map(({ copy }) => copy))].toSorted(), ["first", "second"]);
  });
});

test("a function that hangs loses its machine, and its message becomes a dead letter; others go on", async () => {
  await withStream(async (nexus, told) => {
    const manager = await jetStreamOf(nexus.client);
    const limits = { callTimeMs: 300 };
    await deployTeller(nexus, [{ ...orders, attempts: 2, backoff_ms: [10] }], { limits });
    await publishAll(nexus.client, "orders.new", ["hang", "fine"]);
    await eventually(async () => {
      const { state } = await manager.streams.info("NEX_DEAD_default");
      return state.messages === 1 ? true : undefined;
    });
    await settled(manager, "ORDERS", consumer);
    assert.ok(told.of("fine").length > 0);
    assert.equal(told.of("hang").length, 2);
  });
});
