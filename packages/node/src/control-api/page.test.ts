import assert from "node:assert/strict";
import { test } from "node:test";
import { Page } from "./page.ts";

const item = { x: "123456" };
const itemBytes = JSON.stringify(item).length + 1;

test("Page takes items while they fit, over all lists together", () => {
  const page = new Page(3 * itemBytes);
  assert.equal(page.fill(Array(2).fill(item)).length, 2);
  assert.equal(page.fill(Array(2).fill(item)).length, 1);
  assert.equal(page.fill([{}]).length, 0);
});

test("Page fills from the end, and keeps the order", () => {
  const items = [1, 2, 3].map((x) => ({ x }));
  assert.deepEqual(new Page(2 * 8).fillFromEnd(items), [{ x: 2 }, { x: 3 }]);
});
