import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { NatsConnection } from "@nats-io/nats-core";
import type { NatsServer } from "@nexengine/provision";
import { startTestNatsServer } from "@nexengine/testing";
import { pino } from "pino";
import { connectNats } from "../connections/connect.ts";
import { type Action, Dispatcher } from "./dispatcher.ts";

let server: NatsServer;
before(async () => {
  server = await startTestNatsServer();
});
after(() => server.stop());

/** A dispatcher on a connection of its own, and the bodies that it has handled. */
async function bench(stack: AsyncDisposableStack) {
  const connection = await connectNats({ servers: [server.url] });
  stack.defer(() => connection.close());
  const dispatcher = new Dispatcher(connection, pino({ level: "silent" }));
  stack.defer(() => dispatcher.stop());
  const handled: string[] = [];
  const action = (subject: string): Action => ({
    ...{ subject, kind: "ping", bodyBytesMax: 1_000, perSecondMax: 1_000, threadMsPerSecondMax: 1_000 },
    handle: (_, body) => ({ count: handled.push(Buffer.from(body).toString()) }),
  });
  return { dispatcher, handled, actions: [action("asked"), action("other")] };
}

/** Asks, and counts the answers. @returns the reply subject */
async function ask(
  asker: NatsConnection,
  subject: string,
  body: string,
  answers: Map<string, number>,
): Promise<string> {
  const inbox = `_INBOX.test.${crypto.randomUUID()}`;
  asker.subscribe(inbox, {
    callback: (_, message) => {
      if (message.headers?.code !== 503) answers.set(body, (answers.get(body) ?? 0) + 1);
    },
  });
  asker.publish(subject, body, { reply: inbox });
  await asker.flush();
  return inbox;
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(setImmediate);
}

test("two dispatchers of a hand-over answer each request once, whichever of them gets it", async () => {
  await using stack = new AsyncDisposableStack();
  const asker = await connectNats({ servers: [server.url] });
  stack.defer(() => asker.close());
  const [old, successor] = [await bench(stack), await bench(stack)];
  const answers = new Map<string, number>();
  await old.dispatcher.start(old.actions);
  await ask(asker, "asked", "before", answers);
  old.dispatcher.noteRequests();
  successor.dispatcher.hold(() => true);
  await successor.dispatcher.start(successor.actions);
  const inbox = await ask(asker, "asked", "both", answers);
  await until(() => old.handled.includes("both"));
  await old.dispatcher.stop();
  const handled = old.dispatcher.endNotes();
  await ask(asker, "asked", "after", answers);
  await ask(asker, "other", "held", answers);
  successor.dispatcher.dropAnswered(handled);
  // Its copy for the successor may come late.
  asker.publish("asked", "both", { reply: inbox });
  successor.dispatcher.hold(({ subject }) => subject === "other");
  await until(() => successor.handled.includes("after"));
  assert.deepEqual(successor.handled, ["after"]);
  successor.dispatcher.hold(() => false);
  await until(() => successor.handled.includes("held"));
  await ask(asker, "asked", "last", answers);
  await until(() => [...answers.values()].length === 5);
  assert.deepEqual(old.handled, ["before", "both"]);
  assert.deepEqual(successor.handled, ["after", "held", "last"]);
  assert.deepEqual([...answers.values()], [1, 1, 1, 1, 1]);
});

test("a dispatcher whose hand-over was given up answers again", async () => {
  await using stack = new AsyncDisposableStack();
  const asker = await connectNats({ servers: [server.url] });
  stack.defer(() => asker.close());
  const { dispatcher, handled, actions } = await bench(stack);
  const answers = new Map<string, number>();
  await dispatcher.start(actions);
  dispatcher.noteRequests();
  await ask(asker, "asked", "one", answers);
  await until(() => answers.size === 1);
  await dispatcher.stop();
  assert.equal(dispatcher.endNotes().length, 1);
  assert.deepEqual(dispatcher.endNotes(), []);
  await dispatcher.start(actions);
  await ask(asker, "asked", "two", answers);
  await until(() => answers.size === 2);
  assert.deepEqual(handled, ["one", "two"]);
});
