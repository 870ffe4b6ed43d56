import assert from "node:assert/strict";
import { test } from "node:test";
import type { WorkloadDetails } from "@nexengine/client";
import { reasonLines, stateOf } from "./workload-state.ts";

type Described = Parameters<typeof reasonLines>[0][number];
const workload = { name: "shop" } as WorkloadDetails["workload"];

const looping: Described = {
  healthy: false,
  workload,
  nex: {
    version: 1,
    state: "restarting",
    reason: "crash loop: 6 restarts in 40 s, the last one: exited with status 3; next attempt in 6 s",
    crash_loop: { restarts: 6, span_ms: 40_000 },
    lines: [{ time_ms: 0, level: "ERROR", text: `no configuration${"!".repeat(100)}\u001b[2J` }],
  },
};

test("stateOf names a crash loop, and otherwise the state that the node gives", () => {
  assert.equal(stateOf(looping), "crash loop");
  assert.equal(stateOf({ healthy: true, nex: { version: 1, state: "draining" } }), "draining");
  assert.equal(stateOf({ healthy: true, nex: undefined }), "running");
  assert.equal(stateOf({ healthy: false, nex: undefined }), "restarting");
});

test("reasonLines wraps reasons, cuts log lines, and makes control characters visible", () => {
  const plain: Described = { healthy: true, workload, nex: { version: 1, state: "running" } };
  const lines = reasonLines([plain, looping], true, 60);
  assert.deepEqual(lines.slice(0, 2), [
    "shop: crash loop: 6 restarts in 40 s, the last one: exited",
    "    with status 3; next attempt in 6 s",
  ]);
  assert.equal(lines.length, 3);
  assert.match(lines[2] ?? "", /^ {4}\| no configuration!+…$/);
  for (const line of lines) assert.ok(line.length <= 60, line);
  assert.equal(reasonLines([looping], false, 200).length, 1);
  assert.match(reasonLines([looping], true, 400)[1] ?? "", /\\x1b\[2J$/);
});

test("reasonLines keeps a word that is wider than the terminal within it", () => {
  const [line] = reasonLines([{ ...looping, nex: { version: 1, reason: "x".repeat(100) } }], false, 40).slice(
    -1,
  );
  assert.equal(line?.length, 40);
});
