import assert from "node:assert/strict";
import { test } from "node:test";
import { nodeFeatures } from "@nexengine/protocol/messages";
import { encodeHealth, type HealthCheck, startTimeMs } from "./health.ts";
import { refusal, startBench } from "./testing/client.ts";
import type { Body } from "./testing/scripted-node.ts";

test("encodeHealth writes what is given, and nothing else", () => {
  assert.deepEqual(encodeHealth({ tcp: 8080 }, "native", {}), { type: "tcp", port: 8080 });
  const all: HealthCheck = {
    subject: "a.b",
    intervalMs: 1_000,
    timeoutMs: 100,
    threshold: 2,
    startMs: 5_000,
  };
  assert.deepEqual(encodeHealth(all, "v8", { triggerSubjects: ["a.*"], replicas: 2 }), {
    type: "subject",
    subject: "a.b",
    interval_ms: 1_000,
    timeout_ms: 100,
    threshold: 2,
    start_ms: 5_000,
  });
});

test("encodeHealth refuses what the node would refuse", () => {
  const refused: [HealthCheck, Parameters<typeof encodeHealth>[2], RegExp][] = [
    [{}, {}, /either a subject or a port/],
    [{ subject: "a", tcp: 1 }, {}, /either a subject or a port/],
    [{ tcp: 0 }, {}, /port: /],
    [{ tcp: 80, intervalMs: 1 }, {}, /interval_ms: /],
    [{ tcp: 80, timeoutMs: Number.NaN }, {}, /timeout_ms: /],
    [{ subject: "a.>" }, {}, /one can publish/],
    [{ subject: "a" }, { replicas: 2 }, /check a port instead/],
    [{ tcp: 80 }, { limits: { network: "none" } }, /network "none"/],
    [{ tcp: 80, interval: 1 } as HealthCheck, {}, /interval is no part of a health check/],
  ];
  for (const [health, deploy, message] of refused) {
    assert.throws(() => encodeHealth(health, "native", deploy), { code: "health_invalid", message });
  }
});

test("startTimeMs is what a node waits at most", () => {
  assert.equal(startTimeMs(undefined), 0);
  assert.equal(startTimeMs({ type: "tcp", port: 1 }), 10_000);
  assert.equal(startTimeMs({ type: "tcp", port: 1, start_ms: 60_000 }), 60_000);
});

test("a deploy with a health check requires it of its node", async () => {
  await using bench = await startBench();
  const old = await bench.node({
    auction: ({ extras }) => ({
      nex: { ...extras, features: nodeFeatures.filter((name) => name !== "health") },
    }),
  });
  const options = bench.functionOptions({ triggerSubjects: ["f"], health: { subject: "f", startMs: 200 } });
  const error = await refusal(bench.client.deploy(options));
  assert.deepEqual([error.code, old.deploys], ["feature_missing", []]);
  const node = await bench.node();
  await bench.client.deploy(options);
  const { sealed: _, ...extras } = (node.deploys[0]?.["nex"] ?? {}) as Body;
  assert.deepEqual(extras, {
    version: 1,
    requires: ["bound-claims", "sealed-request", "health"],
    health: { type: "subject", subject: "f", start_ms: 200 },
  });
});
