/** The command line reports the past: `ps --all` and `logs --tail`. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startTestNexus, type TestNexus } from "@nexengine/testing";
import { eventually } from "../packages/testing/src/observe.ts";
import { probeService } from "../packages/testing/src/samples.ts";
import { NexHome } from "./support/nex.ts";

const skip = (await probeService()) === undefined ? "no C compiler builds the probe here" : false;
const home = new NexHome();
let nexus: TestNexus;

before(async () => {
  nexus = await startTestNexus();
  if (skip !== false) return;
  await nexus.probe(["out", "last words", "exit", "3"], { name: "short" });
  await eventually(async () => ((await nexus.client.endedWorkloads()).length > 0 ? true : undefined));
  await nexus.function("() => console.log('still here')", { name: "alive" });
  await nexus.call("alive");
  await eventually(async () => {
    const lines = await nexus.client.recentLines({ count: 10, workload: "alive" });
    return lines.some(({ text }) => text === "still here") ? true : undefined;
  });
});
after(async () => {
  await nexus[Symbol.asyncDispose]();
  home[Symbol.dispose]();
});

const run = (args: readonly string[]) => home.run([...args, "-s", nexus.server.url]);

test("nex ps --all shows how a workload ended, beside those that run, within 80 columns", {
  skip,
}, async () => {
  const { status, stdout } = await run(["ps", "--all"]);
  assert.equal(status, 0);
  assert.match(stdout, /alive[\s\S]*Ended within the last hour[\s\S]*short .* 3 .*status: 3/);
  for (const line of stdout.split("\n")) assert.ok(line.length <= 80, line);
  const json = JSON.parse((await run(["ps", "--all", "--json"])).stdout);
  assert.deepEqual([json.workloads.length, json.ended.length, json.ended[0].code], [1, 1, 3]);
  assert.equal((await run(["ps", "--all", "--watch"])).status, 2);
});

test("nex logs --tail shows the latest lines, also of a workload that has ended, and ends", {
  skip,
}, async () => {
  const { status, stdout } = await run(["logs", "--tail", "50"]);
  assert.equal(status, 0);
  assert.match(stdout, /short last words\n[\s\S]*alive still here\n/);
  const one = await run(["logs", "short", "--tail", "50"]);
  assert.match(one.stdout, /short last words\n/);
  assert.doesNotMatch(one.stdout, /alive/);
});

test("nex logs --tail shows the lines of a workload with the longest name", async () => {
  const name = "n".repeat(128);
  await nexus.function("() => console.log('far away')", { name });
  await nexus.call(name);
  await eventually(async () => {
    const lines = await nexus.client.recentLines({ count: 10, workload: name });
    return lines.some(({ text }) => text === "far away") ? true : undefined;
  });
  const { status, stdout } = await run(["logs", name, "--tail", "5"]);
  assert.equal(status, 0);
  assert.match(stdout, /n{128} far away\n/);
});

test("nex logs --tail --follow goes on with what comes", { skip }, async () => {
  await using watch = home.start([
    "logs",
    "alive",
    "--tail",
    "1",
    "--follow",
    "--count",
    "1",
    "-s",
    nexus.server.url,
  ]);
  await watch.shows(/Ctrl-C ends/);
  await nexus.call("alive");
  const { status, stdout } = await watch.ended();
  assert.equal(status, 0);
  assert.ok(stdout.match(/still here/g)?.length === 2, stdout);
});
