/** `nex move`: a workload goes to another node while it is called. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { createKey } from "@nexengine/protocol";
import { startTestNexus, startTestNode, type TestNexus } from "@nexengine/testing";
import { Callers } from "./support/callers.ts";
import { type Ended, NexHome } from "./support/nex.ts";

const home = new NexHome();
const place = (name: string): string => join(home.path, name);
let nexus: TestNexus;

before(async () => {
  nexus = await startTestNexus();
  for (const name of ["a.nk", "b.nk"]) writeFileSync(place(name), createKey("account").seed, { mode: 0o600 });
  writeFileSync(place("x.xk"), createKey("curve").seed, { mode: 0o600 });
  writeFileSync(place("f.js"), "() => 1");
});
after(async () => {
  await nexus[Symbol.asyncDispose]();
  home[Symbol.dispose]();
});

const nex = (...args: string[]): Promise<Ended> => home.run([...args, "-s", nexus.server.url]);
const keys = (issuer = "a.nk") => ["--issuer", place(issuer), "--xkey", place("x.xk"), "--trigger", "f"];
const where = async () =>
  (await nexus.client.workloadDetails("f")).map(({ nodeId, workload }) => [nodeId, workload.name]);

describe("nex move", () => {
  test("lets a function go to another node, and no call is lost", async () => {
    await using other = await startTestNode({ server: nexus.server.url });
    const started = await nex("run", place("f.js"), nexus.node.id, "WORD=x", ...keys(), "--name", "f");
    assert.equal(started.status, 0, started.stderr);
    await using callers = new Callers(nexus.client, ["f"], 4);
    let last = nexus.node.id;
    for (const node of [other.id, nexus.node.id, other.id]) {
      const moved = await nex("move", "f", node, place("f.js"), "WORD=x", ...keys());
      assert.equal(moved.status, 0, moved.stderr);
      assert.match(moved.stderr, /Moved \S+ from node \S+ to \S+/);
      await callers.answers(20);
      assert.deepEqual(await where(), [[node, "f"]]);
      last = node;
    }
    await callers.stop();
    assert.deepEqual(callers.failures, []);
    const again = await nex("move", "f", last, place("f.js"), ...keys());
    assert.equal(again.status, 4);
    assert.match(again.stderr, /it runs on that node already/);
    // Another issuer's key starts its own, and can't stop the other one.
    const foreign = await nex("move", "f", nexus.node.id, place("f.js"), ...keys("b.nk"));
    assert.equal(foreign.status, 5);
    assert.match(foreign.stderr, /runs on node \S+, but also still on/);
    assert.equal((await where()).length, 2);
    const unclear = await nex("move", "f", "nowhere", place("f.js"), ...keys());
    assert.equal(unclear.status, 4);
    const none = await nex("move", "g", nexus.node.id, place("f.js"), ...keys());
    assert.equal(none.status, 4);
    assert.match(none.stderr, /no node runs it/);
  });
});
