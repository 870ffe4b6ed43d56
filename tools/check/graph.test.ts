import assert from "node:assert/strict";
import { test } from "node:test";
import { rings } from "./graph.ts";
import { checkRings } from "./rings.ts";
import { packageJson, short, treeOf } from "./test-tree.ts";

test("rings finds each group once, and none in a graph that only branches", () => {
  const graph = { a: ["b", "c"], b: ["d"], c: ["d"], d: [] };
  assert.deepEqual(rings(new Map(Object.entries(graph))), []);
  const withRings = { a: ["b"], b: ["c"], c: ["a", "d"], d: ["e"], e: ["d"], f: ["f"] };
  assert.deepEqual(rings(new Map(Object.entries(withRings))), [["d", "e"], ["a", "b", "c"], ["f"]]);
});

test("checkRings reports a ring of values, through the door of another package too", () => {
  const tree = treeOf({
    "packages/node/package.json": packageJson("@nexengine/node"),
    "packages/testing/package.json": packageJson("@nexengine/testing", [], [], {
      "./kit": "./src/kit/mod.ts",
    }),
    "packages/node/src/a.ts": 'import { b } from "./b.ts";',
    "packages/node/src/b.ts": 'export * from "./a.ts";',
    "packages/node/src/mod.ts": 'import "@nexengine/testing/kit";',
    "packages/testing/src/kit/mod.ts": 'import { node } from "@nexengine/node";',
  });
  assert.deepEqual(short(checkRings(tree).findings), [
    "packages/node/src/a.ts imports itself in a ring: packages/node/src/a.ts, packages/node/src/b.ts; " +
      "move what they share into a file of its own",
    "packages/node/src/mod.ts imports itself in a ring: packages/node/src/mod.ts, packages/testing/src/kit/mod.ts; " +
      "move what they share into a file of its own",
  ]);
});

test("checkRings only counts a ring that holds by types", () => {
  const tree = treeOf({
    "packages/node/src/a.ts": 'import type { B } from "./b.ts";',
    "packages/node/src/b.ts": 'import { a } from "./a.ts";',
  });
  assert.deepEqual(checkRings(tree), { findings: [], typeRings: 1 });
});
