/** A service that ends again and again: its node and the command line name the loop, its reason and its last lines. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { probeService, startTestNexus, type TestNexus } from "@nexengine/testing";
import { eventually } from "../packages/testing/src/observe.ts";
import { NexHome } from "./support/nex.ts";

const skip = (await probeService()) === undefined ? "no C compiler builds the service" : false;

const crashing = ["err", "no configuration", "exit", "3"];
const reason = /crash loop: \d+ restarts in [\d.]+ s, the last one: exited with status 3(?:; |$)/;

async function described(nexus: TestNexus) {
  return (await nexus.client.info(nexus.node.id)).machines[0];
}

test("a service that ends again and again is in a crash loop, with its reason, next attempt and last lines", {
  skip,
}, async () => {
  await using nexus = await startTestNexus();
  await nexus.probe(crashing, { name: "broken", restart: { policy: "always", backoff_ms: 1 } });
  const looping = await eventually(async () => {
    const machine = await described(nexus);
    return (machine?.nex?.crash_loop?.restarts ?? 0) > 8 && !machine?.healthy ? machine : undefined;
  });
  const { nex } = looping;
  assert.equal(nex?.state, "restarting");
  assert.match(nex.reason ?? "", reason);
  assert.ok((nex.crash_loop?.span_ms ?? 0) > 0);
  assert.ok((nex.next_attempt_ms ?? -1) >= 0);
  assert.ok(nex.lines?.some(({ text, level }) => text === "no configuration" && level === "ERROR"));
  assert.ok((nex.lines?.length ?? 0) <= 5);

  using home = new NexHome();
  const run = (...args: string[]) => home.run([...args, "-s", nexus.server.url]);
  const ps = (await run("ps")).stdout;
  assert.match(ps, /broken .* crash loop /);
  assert.match(ps.replace(/\n {4}/g, " "), /╯\nbroken: crash loop: \d+ restarts/);
  assert.ok(!ps.includes("no configuration"));
  const all = (await run("ps", "--all")).stdout;
  assert.match(all, / {4}\| no configuration\n/);
  for (const line of [...ps.split("\n"), ...all.split("\n")]) assert.ok(line.length <= 80, line);
  assert.match(
    (await run("node", "info", nexus.node.id)).stdout,
    /broken: crash loop[\s\S]*\| no configuration\n/,
  );
  const [json] = JSON.parse((await run("ps", "--json")).stdout);
  assert.match(json.nex.reason, reason);
});

test("a service that was restarted once is no crash loop, and one that runs has no reason", {
  skip,
}, async () => {
  await using nexus = await startTestNexus();
  await nexus.probe(["wait"], { name: "calm" });
  const calm = await described(nexus);
  assert.deepEqual(
    [calm?.nex?.state, calm?.nex?.reason, calm?.nex?.lines],
    ["running", undefined, undefined],
  );
  await nexus.probe(["exit", "4"], { name: "once", restart: { policy: "always", backoff_ms: 600_000 } });
  const once = await eventually(async () => {
    const machines = (await nexus.client.info(nexus.node.id)).machines;
    return machines.find(({ workload, healthy }) => workload.name === "once" && !healthy);
  });
  assert.equal(once.nex?.crash_loop, undefined);
  assert.match(once.nex?.reason ?? "", /^exited with status 4; next attempt in \d+ s$/);
  assert.ok((once.nex?.next_attempt_ms ?? 0) > 300_000);
});
