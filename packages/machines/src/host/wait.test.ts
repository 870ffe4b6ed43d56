import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { holdsWithin, settlesWithin } from "./wait.ts";

suite("settlesWithin", () => {
  test("reports whether a promise settled, resolved or rejected", async () => {
    assert.equal(await settlesWithin(Promise.resolve(), 10_000), true);
    assert.equal(await settlesWithin(Promise.reject(new TypeError("no")), 10_000), true);
    assert.equal(await settlesWithin(new Promise(() => undefined), 1), false);
  });

  test("waits forever with an infinite timeout instead of returning at once", async () => {
    const later = new Promise((resolve) => setImmediate(resolve));
    assert.equal(await settlesWithin(later, Number.MAX_SAFE_INTEGER), true);
  });
});

suite("holdsWithin", () => {
  test("polls until the condition holds", async () => {
    let looks = 0;
    assert.equal(await holdsWithin(() => ++looks === 5, 10_000), true);
    assert.equal(looks, 5);
  });

  test("checks once with a timeout of 0, then gives up", async () => {
    assert.equal(await holdsWithin(() => true, 0), true);
    assert.equal(await holdsWithin(() => false, 0), false);
  });
});
