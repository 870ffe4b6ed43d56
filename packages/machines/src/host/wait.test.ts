import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { holdsWithin, settlesWithin } from "./wait.ts";

suite("settlesWithin", () => {
  test("says whether a promise settled, however it did", async () => {
    assert.equal(await settlesWithin(Promise.resolve(), 10_000), true);
    assert.equal(await settlesWithin(Promise.reject(new TypeError("no")), 10_000), true);
    assert.equal(await settlesWithin(new Promise(() => undefined), 1), false);
  });

  test("waits for ever when told so, not for no time at all", async () => {
    const later = new Promise((resolve) => setImmediate(resolve));
    assert.equal(await settlesWithin(later, Number.MAX_SAFE_INTEGER), true);
  });
});

suite("holdsWithin", () => {
  test("looks until the condition holds", async () => {
    let looks = 0;
    assert.equal(await holdsWithin(() => ++looks === 5, 10_000), true);
    assert.equal(looks, 5);
  });

  test("looks once when there is no time, and gives up", async () => {
    assert.equal(await holdsWithin(() => true, 0), true);
    assert.equal(await holdsWithin(() => false, 0), false);
  });
});
