import assert from "node:assert/strict";
import { test } from "node:test";
import { tailStart } from "./tail-start.ts";

/** Runs a search over the numbers of the messages of a subject. */
async function search(
  numbers: readonly number[],
  wanted: number,
  bounds: { first: number; last: number },
): Promise<{ read: number; probes: number }> {
  let probes = 0;
  const countFrom = (from: number): number => numbers.filter((number) => number >= from).length;
  const start = await tailStart(wanted, bounds, async (from) => {
    probes++;
    return countFrom(from);
  });
  assert.ok(start >= bounds.first && start <= bounds.last + 1, `${start}`);
  return { read: countFrom(start), probes };
}

test("tailStart finds the wanted messages without reading many more, wherever they are", async () => {
  const last = 1_000_000;
  const range = (from: number, to: number, step = 1): number[] =>
    Array.from({ length: Math.floor((to - from) / step) }, (_, at) => from + at * step);
  const cases: [string, number[]][] = [
    ["every message", range(1, last + 1)],
    ["one in a thousand", range(1, last, 1_000)],
    ["many at the beginning", range(1, 200_000)],
    ["many in the middle", range(400_000, 600_000)],
    ["few at both ends", [1, 2, 3, last - 1, last]],
    ["a burst before a few", [...range(500_000, 700_000), 900_000, 950_000]],
  ];
  for (const [name, numbers] of cases) {
    for (const wanted of [1, 5, 100, 10_000]) {
      const { read, probes } = await search(numbers, wanted, { first: 1, last });
      assert.ok(read >= Math.min(wanted, numbers.length), `${name}, ${wanted}: ${read} are read`);
      assert.ok(read <= wanted * 2 + 1_000, `${name}, ${wanted}: ${read} are read`);
      assert.ok(probes <= 40, `${name}, ${wanted}: ${probes} probes`);
    }
  }
});

test("tailStart stays behind the first number, and ends in a stream without messages", async () => {
  const all = Array.from({ length: 100 }, (_, at) => at + 1);
  assert.equal((await search(all, 1_000, { first: 90, last: 100 })).read, 11);
  assert.equal((await search([], 5, { first: 1, last: 0 })).read, 0);
  assert.equal((await search(all, 5, { first: 101, last: 100 })).read, 0);
  assert.equal(await tailStart(5, { first: 3, last: 9 }, async () => undefined), 3);
});
