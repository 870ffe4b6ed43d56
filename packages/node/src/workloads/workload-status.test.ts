import assert from "node:assert/strict";
import { test } from "node:test";
import type { RestartSpell } from "./restart-history.ts";
import { statusOf } from "./workload-status.ts";

const spellOf = (count: number, more: Partial<RestartSpell> = {}): RestartSpell => ({
  count,
  firstAtMs: 1_000,
  lastAtMs: 40_000,
  reason: "exited with status 3",
  nextAtMs: 47_000,
  ...more,
});

test("statusOf says nothing of a workload that plainly runs", () => {
  assert.deepEqual(statusOf([{ isRunning: true, spell: undefined }], undefined, 0), {});
});

test("statusOf names the reason of a restart and the delay of the next attempt", () => {
  assert.deepEqual(statusOf([{ isRunning: false, spell: spellOf(1) }], undefined, 41_000), {
    reason: "exited with status 3; next attempt in 6 s",
    nextAttemptMs: 6_000,
  });
  assert.equal(
    statusOf([{ isRunning: false, spell: spellOf(2) }], undefined, 48_000).reason,
    "exited with status 3; it is starting again",
  );
  assert.equal(
    statusOf([{ isRunning: true, spell: spellOf(2) }], undefined, 52_000).reason,
    "restarted 12 s ago: exited with status 3",
  );
});

test("statusOf names a crash loop from the third restart in a row", () => {
  assert.deepEqual(statusOf([{ isRunning: false, spell: spellOf(6) }], undefined, 41_000), {
    reason: "crash loop: 6 restarts in 40 s, the last one: exited with status 3; next attempt in 6 s",
    crashLoop: { restarts: 6, spanMs: 40_000 },
    nextAttemptMs: 6_000,
  });
  const { reason, crashLoop } = statusOf([{ isRunning: true, spell: spellOf(3) }], undefined, 41_000);
  assert.equal(reason, "crash loop: 3 restarts in 40 s, the last one: exited with status 3");
  assert.equal(crashLoop?.restarts, 3);
});

test("statusOf tells of the machine with the most restarts, and how many machines run", () => {
  const replicas = [
    { isRunning: true, spell: undefined },
    { isRunning: false, spell: spellOf(1, { reason: "out of memory" }) },
    { isRunning: false, spell: spellOf(4) },
  ];
  assert.match(
    statusOf(replicas, undefined, 41_000).reason ?? "",
    /^1 of 3 machines run; crash loop: 4 restarts .* status 3; next attempt in 6 s$/,
  );
});

test("statusOf adds the health of a workload with a health check", () => {
  const running = { isRunning: true, spell: undefined };
  assert.deepEqual(statusOf([running], { isHealthy: true, trouble: undefined }, 0), { healthy: true });
  const trouble = "health check failed 1 of 3 times: nobody answers on ping";
  assert.deepEqual(statusOf([running], { isHealthy: true, trouble }, 0), { healthy: true, reason: trouble });
  const restarted = { isRunning: true, spell: spellOf(1) };
  assert.deepEqual(statusOf([restarted], { isHealthy: false, trouble }, 52_000), {
    healthy: false,
    reason: `restarted 12 s ago: exited with status 3; ${trouble}`,
  });
});
