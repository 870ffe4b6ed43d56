import assert from "node:assert/strict";
import { test } from "node:test";
import { calmMs, RestartHistory } from "./restart-history.ts";

const windowMs = 120_000;

test("RestartHistory counts restarts in a row, with the time of the next attempt", () => {
  const history = new RestartHistory(windowMs);
  assert.equal(history.spell(0), undefined);
  history.add("first", 100, 1_000);
  history.add("second", 200, 2_000);
  assert.deepEqual(history.spell(2_100), {
    count: 2,
    firstAtMs: 1_000,
    lastAtMs: 2_000,
    reason: "second",
    nextAtMs: 2_200,
  });
});

test("RestartHistory begins anew after a calm spell, which starts with the attempt and not with the restart", () => {
  const history = new RestartHistory(windowMs);
  history.add("first", 10_000, 0);
  assert.equal(history.spell(10_000 + calmMs - 1)?.count, 1);
  assert.equal(history.spell(10_000 + calmMs), undefined);
  history.add("second", 0, 10_000 + calmMs - 1);
  assert.equal(history.spell(10_000 + calmMs)?.count, 2);
  history.add("third", 0, 100_000);
  assert.equal(history.spell(100_000)?.count, 1);
});

test("RestartHistory forgets what is older than its window, and never grows beyond it", () => {
  const history = new RestartHistory(windowMs);
  for (let atMs = 0; atMs < 200_000; atMs += 20_000) history.add(String(atMs), 0, atMs);
  const spell = history.spell(180_000);
  assert.equal(spell?.count, windowMs / 20_000);
  assert.equal(spell?.firstAtMs, 80_000);
});
