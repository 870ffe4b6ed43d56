import assert from "node:assert/strict";
import { test } from "node:test";
import { healthOf, parseHealth } from "./health-options.ts";

test("parseHealth reads a subject or a port", () => {
  assert.deepEqual(parseHealth("subject:shop.ping"), { subject: "shop.ping" });
  assert.deepEqual(parseHealth("tcp:8080"), { tcp: 8080 });
  for (const text of ["", "tcp", "tcp:", "tcp:0", "tcp:65536", "tcp:x", "http:80", "subject:", "8080"]) {
    assert.throws(() => parseHealth(text), { code: "commander.invalidArgument" }, text);
  }
});

test("healthOf joins a check and its times, and refuses times without a check", () => {
  assert.equal(healthOf({}), undefined);
  assert.deepEqual(
    healthOf({
      health: { tcp: 80 },
      healthInterval: 1_000,
      healthTimeout: 200,
      healthThreshold: 5,
      healthStart: 3_000,
    }),
    { tcp: 80, intervalMs: 1_000, timeoutMs: 200, threshold: 5, startMs: 3_000 },
  );
  assert.throws(() => healthOf({ healthTimeout: 200 }), { code: "usage" });
});
