import assert from "node:assert/strict";
import { test } from "node:test";
import { RestartBackoff } from "./restart.ts";

test("RestartBackoff doubles its delay up to a bound, and gives up on what ends too often (B16)", () => {
  const backoff = new RestartBackoff();
  const delays = Array.from({ length: 20 }, (_, at) => backoff.next(at));
  assert.deepEqual(delays.slice(0, 4), [100, 200, 400, 800]);
  assert.ok(delays.every((delay) => delay !== undefined && delay <= 10_000));
  assert.equal(backoff.next(20), undefined);
});

test("RestartBackoff counts all restarts where their number is given, and begins with the delay that is", () => {
  const backoff = new RestartBackoff(3, 5);
  assert.deepEqual(
    [0, 1_000_000, 2_000_000, 3_000_000].map((nowMs) => backoff.next(nowMs)),
    [5, 5, 5, undefined],
  );
  assert.equal(new RestartBackoff(0).next(0), undefined);
});

test("RestartBackoff forgets what was long ago", () => {
  const backoff = new RestartBackoff();
  for (let at = 0; at < 20; at++) backoff.next(at);
  assert.equal(backoff.next(119_999), undefined);
  assert.equal(backoff.next(200_000), 100);
});
