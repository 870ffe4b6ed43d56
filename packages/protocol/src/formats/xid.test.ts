import assert from "node:assert/strict";
import { test } from "node:test";
import { base32hexnopad } from "@scure/base";
import { createXidMaker, xidPattern } from "./xid.ts";

/** The twelve bytes of an id. */
function bytesOf(id: string): Buffer {
  return Buffer.from(base32hexnopad.decode(id.toUpperCase()));
}

test("createXidMaker returns ids in xid format that start with the second", () => {
  const make = createXidMaker(() => 1_795_486_068_999);
  for (let round = 0; round < 100; round++) {
    const id = make();
    assert.match(id, xidPattern);
    assert.equal(bytesOf(id).readUInt32BE(0), 1_795_486_068);
    // 96 bits leave four unused bits in the last character.
    assert.match(id, /[0g]$/);
  }
});

test("createXidMaker's ids sort by second, and the counter increases within a second", () => {
  let nowMs = 1_795_486_068_000;
  const make = createXidMaker(() => nowMs);
  const counters: number[] = [];
  const bySecond: string[] = [];
  for (let round = 0; round < 50; round++) {
    const id = make();
    bySecond.push(id);
    counters.push(bytesOf(id).readUIntBE(9, 3));
    nowMs += 1000;
  }
  assert.deepEqual([...bySecond].sort(), bySecond);
  const [first = 0] = counters;
  assert.deepEqual(
    counters,
    counters.map((_, at) => (first + at) & 0xffffff),
  );
});

test("createXidMaker's ids are unique within a second and across makers", () => {
  const makers = Array.from({ length: 4 }, () => createXidMaker(() => 0));
  const ids = makers.flatMap((make) => Array.from({ length: 1000 }, make));
  assert.equal(new Set(ids).size, ids.length);
});

test("createXidMaker accepts a clock beyond 32 bits", () => {
  assert.match(createXidMaker(() => 2 ** 32 * 1000 + 5000)(), xidPattern);
  assert.equal(bytesOf(createXidMaker(() => 2 ** 32 * 1000 + 5000)()).readUInt32BE(0), 5);
});
