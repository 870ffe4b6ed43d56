import assert from "node:assert/strict";
import { test } from "node:test";
import { checkOrphans } from "./orphans.ts";
import { treeOf } from "./test-tree.ts";

const orphans = (files: Record<string, string>) => checkOrphans(treeOf(files)).map(({ path }) => path);

test("checkOrphans passes what an entry leads to, by imports or by name", () => {
  const files = {
    "packages/node/src/mod.ts": 'export { a } from "./a.ts";',
    "packages/node/src/a.ts": 'import type { B } from "./b.ts";',
    "packages/node/src/b.ts": 'const guest = new URL("./deep/guest.ts", import.meta.url);',
    "packages/node/src/deep/guest.ts": 'const other = join(folder, "other.ts");',
    "packages/node/src/deep/other.ts": "",
    "packages/node/src/c.test.ts": 'import { d } from "./d.ts";',
    "packages/node/src/d.ts": "",
    "packages/agent/src/main.ts": "",
    "tools/check.ts": 'import "./check/e.ts";',
    "tools/check/e.ts": "",
    "packages/node/src/fixtures/program.ts": "",
  };
  assert.deepEqual(orphans(files), []);
});

test("checkOrphans finds a file that nothing leads to, and two that only know each other", () => {
  const files = {
    "packages/node/src/mod.ts": '// import "./a.ts";',
    "packages/node/src/a.ts": "",
    "packages/node/src/b.ts": 'import "./c.ts";',
    "packages/node/src/c.ts": 'import "./b.ts";',
  };
  assert.deepEqual(orphans(files), [
    "packages/node/src/a.ts",
    "packages/node/src/b.ts",
    "packages/node/src/c.ts",
  ]);
});
