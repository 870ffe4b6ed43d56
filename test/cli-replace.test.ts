/** `nex run --replace` and `nex lameduck --drain`, as people type them. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { createKey } from "@nexengine/protocol";
import { newSigner, startTestNexus, startTestNode, type TestNexus } from "@nexengine/testing";
import { type Ended, NexHome } from "./support/nex.ts";

const home = new NexHome();
const operator = createKey("operator");
const place = (name: string): string => join(home.path, name);
let nexus: TestNexus;

before(async () => {
  nexus = await startTestNexus({ config: { operators: [operator.publicKey] } });
  writeFileSync(place("a.nk"), createKey("account").seed, { mode: 0o600 });
  writeFileSync(place("x.xk"), createKey("curve").seed, { mode: 0o600 });
  writeFileSync(place("ops.nk"), operator.seed, { mode: 0o600 });
});
after(async () => {
  await nexus[Symbol.asyncDispose]();
  home[Symbol.dispose]();
});

const nex = (...args: string[]): Promise<Ended> => home.run([...args, "-s", nexus.server.url]);

/** Deploys a function that gives a number. */
async function run(value: number, ...args: string[]): Promise<Ended & { id: string; replaced?: string }> {
  writeFileSync(place("f.js"), `() => ${value}`);
  const keys = ["--issuer", place("a.nk"), "--xkey", place("x.xk"), "--name", "f", "--trigger", "f"];
  const ended = await nex("run", place("f.js"), ...args, ...keys, "--json");
  return { ...ended, ...(ended.status === 0 ? JSON.parse(ended.stdout) : {}) };
}

const idsOf = async (): Promise<string[]> => (await nexus.client.workloadDetails("f")).map(({ id }) => id);

describe("nex run --replace", () => {
  test("takes the place of the workload of its name, or starts the first one", async () => {
    const first = await run(1, "--replace");
    assert.deepEqual([first.status, first.replaced], [0, undefined], first.stderr);
    const second = await run(2, "--replace", "--health", "subject:f");
    assert.equal(second.status, 0, second.stderr);
    assert.equal(second.replaced, first.id);
    assert.match(second.stderr, new RegExp(`Replaced ${first.id}`));
    assert.deepEqual(await idsOf(), [second.id]);
    assert.equal(await nexus.call("f"), "2");
  });

  test("leaves everything as it was when the new one does not become ready", async () => {
    const before = await idsOf();
    writeFileSync(place("sick.js"), `() => { throw new Error("not well"); }`);
    const keys = ["--issuer", place("a.nk"), "--xkey", place("x.xk"), "--name", "f", "--trigger", "f"];
    const options = ["--replace", "--health", "subject:f", "--health-start", "300ms"];
    const refused = await nex("run", place("sick.js"), ...keys, ...options);
    assert.equal(refused.status, 8);
    assert.match(refused.stderr, /its health check did not pass within 300 ms: Error: not well/);
    assert.deepEqual(await idsOf(), before);
    assert.equal(await nexus.call("f"), "2");
  });

  test("leaves another issuer's workload alone, and says so", async () => {
    const { id } = await nexus.function("() => 9", { name: "g", issuer: newSigner() });
    writeFileSync(place("g.js"), "() => 10");
    const keys = ["--issuer", place("a.nk"), "--xkey", place("x.xk"), "--name", "g", "--trigger", "g"];
    const started = await nex("run", place("g.js"), ...keys, "--replace");
    assert.equal(started.status, 0);
    assert.match(started.stderr, new RegExp(`Left the previous copy ${id} running`));
    assert.equal((await nexus.client.workloadDetails("g")).length, 2);
  });

  test("wants the node named when the workload runs on two, and replaces only the one there", async () => {
    await using other = await startTestNode({ server: nexus.server.url });
    const there = await run(3, other.id);
    assert.equal(there.status, 0, there.stderr);
    const both = await idsOf();
    const unclear = await run(4, "--replace");
    assert.equal(unclear.status, 2);
    assert.match(unclear.stderr, /it runs on 2 nodes[\s\S]*Name one of them/);
    const third = await run(4, other.id, "--replace");
    assert.equal(third.replaced, there.id, third.stderr);
    assert.deepEqual((await idsOf()).sort(), both.map((id) => (id === there.id ? third.id : id)).sort());
  });
});

test("nex lameduck --drain takes an operator's key, and ends the node", async () => {
  const refused = await nex("lameduck", nexus.node.id, "--drain");
  assert.equal(refused.status, 2);
  assert.match(refused.stderr, /Cannot drain a node: only an operator ends a node/);
  const drained = await nex("lameduck", nexus.node.id, "--drain", "--operator", place("ops.nk"));
  assert.equal(drained.status, 0, drained.stderr);
  assert.match(drained.stdout, /its services have stopped, at the latest in 30s/);
  await nexus.node.ended;
});
