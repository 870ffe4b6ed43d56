/** `nex … --on`, `nex trigger` and `nex dead`, as people type them. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { startTestNexus, type TestNexus } from "@nexengine/testing";
import { eventually } from "../packages/testing/src/observe.ts";
import { type Ended, NexHome } from "./support/nex.ts";
import { jetStreamOf, publishAll, settled } from "./support/triggered.ts";

const home = new NexHome();
const place = (name: string): string => join(home.path, name);
let nexus: TestNexus;

const source = `export default (subject, payload, call) => {
  const text = new TextDecoder().decode(payload);
  if (text.startsWith("bad") && !process_is_mended(text)) throw new Error("this order is bad");
  return "done";
};
const process_is_mended = (text) => text.endsWith("mended");`;

before(async () => {
  nexus = await startTestNexus();
  writeFileSync(place("orders.js"), source);
  await (await jetStreamOf(nexus.client)).streams.add({ name: "ORDERS", subjects: ["orders.>"] });
});
after(async () => {
  await nexus[Symbol.asyncDispose]();
  home[Symbol.dispose]();
});

const nex = (...args: string[]): Promise<Ended> => home.run([...args, "-s", nexus.server.url]);
const consumer = "nex_default_orders_stream";

describe("triggers on the command line", () => {
  test("a function is deployed on a stream, and listed with what calls it", async () => {
    const deployed = await nex("devrun", place("orders.js"), "--on", "stream ORDERS attempts=1");
    assert.equal(deployed.status, 0, deployed.stderr);
    assert.match(deployed.stdout, /Called by: {2}stream ORDERS/);
    await publishAll(nexus.client, "orders.new", ["fine", "bad one", "bad two"]);
    await settled(await jetStreamOf(nexus.client), "ORDERS", consumer);
    const list = await nex("trigger", "ls");
    assert.match(list.stdout, /orders +│ stream +│ stream ORDERS +│ active/);
    const info = await nex("trigger", "info", "orders", "stream");
    assert.match(info.stdout, /Received: +3\n +Done: +1\n/);
    assert.match(info.stdout, /Last error: +Error: this order is bad/);
    const [trigger] = JSON.parse((await nex("trigger", "ls", "--json")).stdout) as { dead: number }[];
    assert.equal(trigger?.dead, 2);
  });

  test("triggers come from a file too, and one that can't be read is refused before anything is sent", async () => {
    const triggers = [{ type: "stream", stream: "ORDERS", attempts: 1 }];
    writeFileSync(place("triggers.json"), JSON.stringify(triggers));
    const deployed = await nex("devrun", place("orders.js"), "--triggers", place("triggers.json"));
    assert.equal(deployed.status, 0, deployed.stderr);
    writeFileSync(place("bad.json"), JSON.stringify([{ type: "stream" }]));
    const bad = await nex("devrun", place("orders.js"), "--triggers", place("bad.json"));
    assert.equal(bad.status, 2);
    assert.match(bad.stderr, /0\.stream: /);
    const absent = await nex("devrun", place("orders.js"), "--triggers", place("absent.json"));
    assert.equal(absent.status, 4);
    const grammar = await nex("devrun", place("orders.js"), "--on", "stream");
    assert.equal(grammar.status, 2);
    assert.match(grammar.stderr, /Its form is: stream NAME/);
  });

  test("dead letters are shown, tried again, and dropped", async () => {
    const list = await nex("dead", "ls", "orders");
    assert.match(list.stdout, /1 +│ orders +│ stream +│ orders\.new/);
    const shown = await nex("dead", "show", "1");
    assert.match(shown.stdout, /Reason: +500 Error: this order is bad\n\nbad one\n/);
    const failed = await nex("dead", "retry", "1");
    assert.equal(failed.status, 8);
    assert.match(failed.stdout, /dead letter 1: .*this order is bad/);
    // A better function takes it.
    writeFileSync(place("orders.js"), source.replace('endsWith("mended")', "length > 0"));
    const mended = await nex("devrun", place("orders.js"), "--on", "stream ORDERS attempts=1");
    assert.equal(mended.status, 0, mended.stderr);
    const retried = await nex("dead", "retry", "1");
    assert.equal(retried.status, 0, retried.stdout);
    const dropped = await nex("dead", "drop", "--all");
    assert.match(dropped.stdout, /dead letter 2 is gone/);
    assert.match((await nex("dead", "ls")).stderr, /has no dead letters/);
    assert.equal((await nex("dead", "show", "1")).status, 4);
    assert.equal((await nex("dead", "retry")).status, 2);
  });

  test("a trigger is paused and goes on, and only its issuer may do that", async () => {
    assert.equal((await nex("trigger", "pause", "orders", "absent")).status, 4);
    assert.equal((await nex("trigger", "pause", "nobody", "stream")).status, 4);
    await using stranger = new Stranger();
    assert.equal((await stranger.run("trigger", "pause", "orders", "stream")).status, 5);
    const paused = await nex("trigger", "pause", "orders", "stream");
    assert.match(paused.stdout, /trigger stream is paused/);
    assert.match((await nex("ps")).stdout, /orders: trigger stream is paused/);
    await publishAll(nexus.client, "orders.new", ["later"]);
    const manager = await jetStreamOf(nexus.client);
    assert.equal((await manager.consumers.info("ORDERS", consumer)).num_pending, 1);
    assert.equal((await nex("trigger", "resume", "orders", "stream")).status, 0);
    await settled(manager, "ORDERS", consumer);
  });

  test("what is left of a stopped function's triggers is forgotten on demand", async () => {
    assert.equal((await nex("trigger", "rm", "orders")).status, 1);
    assert.equal((await nex("stop", "orders")).status, 0);
    await publishAll(nexus.client, "orders.new", ["missed"]);
    const manager = await jetStreamOf(nexus.client);
    assert.equal((await manager.consumers.info("ORDERS", consumer)).num_pending, 1);
    const removed = await nex("trigger", "rm", "orders");
    assert.match(removed.stdout, /forgot stream on ORDERS, with 1 message that/);
    const left = await eventually(async () => await manager.consumers.list("ORDERS").next());
    assert.deepEqual(left, []);
  });
});

/** Somebody with a key of their own. */
class Stranger implements AsyncDisposable {
  readonly #home = new NexHome();

  run(...args: string[]): Promise<Ended> {
    return this.#home.run([...args, "-s", nexus.server.url]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#home[Symbol.dispose]();
  }
}
