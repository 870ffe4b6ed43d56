/** To which subjects a function's replies go, and to which they don't. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { connectNex } from "@nexengine/client";
import { startTestNatsServer, startTestNexus, startTestNode, TestNexus } from "@nexengine/testing";
import { logsOf } from "../packages/testing/src/observe.ts";

const echo = "(subject, payload) => payload";

/** Messages on a subject until a call through an inbox, made after them, is answered. */
async function repliesOn(nexus: TestNexus, subject: string): Promise<string[]> {
  const { connection } = nexus.client;
  const received: string[] = [];
  const subscription = connection.subscribe(subject, {
    callback: (_, message) => void received.push(Buffer.from(message.data).toString()),
  });
  connection.publish("f", "sent", { reply: subject });
  assert.equal(await nexus.call("f", "asked"), "asked");
  await connection.flush();
  subscription.unsubscribe();
  return received;
}

test("without a connection of its namespace a function answers inboxes only, and says so once", async () => {
  await using nexus = await startTestNexus();
  await nexus.function(echo, { name: "f" });
  const lines = await logsOf(nexus, 1, async () => {
    assert.deepEqual(await repliesOn(nexus, "orders.new"), []);
    assert.deepEqual(await repliesOn(nexus, "orders.new"), []);
  });
  assert.match(lines[0] ?? "", /A reply to "orders.new" was not sent/);
});

test("reply_subjects names further subjects, and deny_trigger_subjects holds for replies too", async () => {
  await using nexus = await startTestNexus({
    config: { reply_subjects: ["orders.*"], deny_trigger_subjects: ["orders.secret"] },
  });
  await nexus.function(echo, { name: "f" });
  assert.deepEqual(await repliesOn(nexus, "orders.new"), ["sent"]);
  assert.deepEqual(await repliesOn(nexus, "orders.secret"), []);
  assert.deepEqual(await repliesOn(nexus, "elsewhere"), []);
});

test("with a connection of its namespace a function answers wherever that may publish", async () => {
  await using stack = new AsyncDisposableStack();
  const server = stack.use(await startTestNatsServer());
  const { url } = server;
  const config = { namespaces: { default: { connection: { url } } } };
  const node = stack.use(await startTestNode({ server: url, config }));
  const client = stack.use(await connectNex({ servers: [url] }));
  const nexus = new TestNexus(server, node, client, new AsyncDisposableStack());
  await nexus.function(echo, { name: "f" });
  assert.deepEqual(await repliesOn(nexus, "orders.new"), ["sent"]);
  // The server's own subjects are nobody's to answer on, whatever the connection may publish.
  assert.deepEqual(await repliesOn(nexus, "$ORDERS.new"), []);
});
