import assert from "node:assert/strict";
import { test } from "node:test";
import { fuzz } from "./fuzz.ts";
import { type Target, targets } from "./targets.ts";

const bounds = { untilMs: Number.POSITIVE_INFINITY, executionsMax: 1_500, seed: 20 };

test("every decoder refuses what it can't read by an error of the catalogue, and in time", async () => {
  const { results } = await fuzz(targets, bounds);
  for (const { name, finds, executions } of results) {
    assert.ok(executions >= bounds.executionsMax, name);
    const found = finds.map(({ why, input }) => `${why} for ${input.toString("base64").slice(0, 2_000)}`);
    assert.deepEqual(found, [], name);
  }
});

test("fuzz finds what throws another error, and gives the input", async () => {
  const target: Target = {
    name: "fragile",
    seeds: [Buffer.from("abc")],
    run: (bytes) => {
      if (bytes[0] === 0x61 && bytes.length > 4) throw new RangeError("fragile");
    },
  };
  const { results } = await fuzz([target], bounds);
  const [find] = results[0]?.finds ?? [];
  assert.match(find?.why ?? "", /RangeError: fragile/);
  assert.throws(() => target.run(find?.input ?? Buffer.alloc(0)), RangeError);
});
