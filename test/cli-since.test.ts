/** The command line reads the history: `logs --since`, `logs --tail` and `events --since`. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startTestNexus, type TestNexus } from "@nexengine/testing";
import { eventually } from "../packages/testing/src/observe.ts";
import { NexHome } from "./support/nex.ts";

const sayer = "(subject, payload) => { console.log(new TextDecoder().decode(payload)); return ''; }";
const home = new NexHome();
let nexus: TestNexus;

before(async () => {
  nexus = await startTestNexus({ config: { history: { logs: true, events: true } } });
  await nexus.function(sayer, { name: "say" });
  await nexus.function(sayer, { name: "other" });
  // The streams are made beside the first deploy, so only what comes later is in them for sure.
  await untilKept("say", "probe");
  for (let at = 0; at < 300; at++) await nexus.call("say", `line ${at}`);
  await nexus.call("other", "aside");
  await untilKept("say", "the last");
  await nexus.function(sayer, { name: "late" });
  await eventually(async () => {
    const events = await nexus.client.eventHistory().then(Array.fromAsync<{ type: string }>, () => []);
    return events.some(({ type }) => type === "workload_deployed") ? true : undefined;
  });
});
after(async () => {
  await nexus[Symbol.asyncDispose]();
  home[Symbol.dispose]();
});

/** Writes a line again and again until the history has it. */
async function untilKept(workload: string, text: string): Promise<void> {
  await eventually(async () => {
    await nexus.call(workload, text);
    const lines = await nexus.client
      .logHistory({ workload })
      .then(Array.fromAsync<{ text: string }>, () => []);
    return lines.some((line) => line.text === text) ? true : undefined;
  });
}

const run = (args: readonly string[], url = nexus.server.url) => home.run([...args, "-s", url]);

test("nex logs --since shows what was written, and ends", async () => {
  const { status, stdout } = await run(["logs", "--since", "10m"]);
  assert.equal(status, 0);
  assert.match(stdout, /say line 0\n[\s\S]*say line 299\n[\s\S]*other aside\n[\s\S]*say the last\n/);
  const other = await run(["logs", "other", "--since", "1d", "--json"]);
  const texts = other.stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  assert.ok(texts.some(({ text, workloadName }) => text === "aside" && workloadName === "other"));
  assert.deepEqual(Object.keys(texts[0]).sort(), [
    ...["level", "namespace", "nodeId", "receivedAt", "text", "workloadId", "workloadName"],
  ]);
  const first = await run(["logs", "--since", "2020-01-01", "--count", "1"]);
  assert.equal(first.stdout.split("\n").length, 2);
  assert.equal((await run(["logs", "--since", "2999-01-01T00:00:00Z"])).stdout, "");
});

test("nex logs --tail shows more lines of the history than nodes remember", async () => {
  const { status, stdout } = await run(["logs", "say", "--tail", "250"]);
  assert.equal(status, 0);
  assert.equal(stdout.match(/say line \d+\n|say the last\n/g)?.length, 250);
});

test("nex logs --since --follow goes on with what comes", async () => {
  await using watch = home.start(["logs", "other", "--since", "1h", "-f", "-s", nexus.server.url]);
  await watch.shows(/aside\n/);
  await nexus.call("other", "more");
  await watch.shows(/other more\n/);
  const { status, stdout } = await watch.interrupt();
  assert.equal(status, 0);
  assert.equal(stdout.match(/other aside\n/g)?.length, 1);
});

test("nex events --since shows the events of the namespace and of the nodes, and ends", async () => {
  const { status, stdout } = await run(["events", "--since", "10m"]);
  assert.equal(status, 0);
  assert.match(stdout, /default workload_deployed .*late/);
  const json = await run(["events", "--since", "10m", "--json", "--count", "1"]);
  assert.equal(typeof JSON.parse(json.stdout).type, "string");
  await using watch = home.start(["events", "--since", "1h", "--follow", "-s", nexus.server.url]);
  await watch.shows(/workload_deployed/);
  await nexus.function(sayer, { name: "later" });
  await watch.shows(/workload_deployed .*later/);
  assert.equal((await watch.interrupt()).status, 0);
});

test("nex logs --since says where there is no history, and what is no time", async () => {
  await using bare = await startTestNexus();
  for (const command of ["logs", "events"]) {
    const { status, stderr } = await run([command, "--since", "10m"], bare.server.url);
    assert.equal(status, 4);
    assert.match(stderr, /there is no stream NEX_(LOGS|EVENTS)_default[\s\S]*"history"/);
  }
  for (const time of ["yesterday", "10", "", "d", "2020-13-40", "-5m"]) {
    assert.equal((await run(["logs", `--since=${time}`])).status, 2, time);
  }
  assert.equal((await run(["logs", "--since", "10m", "--since-start"])).status, 2);
});
