import assert from "node:assert/strict";
import { test } from "node:test";
import { AnnouncementRates } from "./announcement-rates.ts";

test("AnnouncementRates bounds messages and bytes of a namespace, and leaves the others alone", () => {
  const rates = new AnnouncementRates();
  const taken = (namespace: string, count: number, bytes: number, nowMs: number): number =>
    Array.from({ length: count }).filter(() => rates.takes(namespace, bytes, nowMs)).length;
  assert.equal(taken("loud", 3_000, 10, 5_000), 2_000);
  assert.equal(taken("heavy", 100, 131_072, 5_000), 64);
  assert.equal(taken("quiet", 5, 10, 5_999), 5);
  assert.equal(taken("loud", 1, 10, 5_999), 0);
  assert.equal(taken("loud", 1, 10, 6_000), 1);
  // A clock that goes back must not silence anybody.
  assert.equal(taken("loud", 3_000, 10, 0), 2_000);
});
