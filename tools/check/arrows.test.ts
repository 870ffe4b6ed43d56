import assert from "node:assert/strict";
import { test } from "node:test";
import { checkArrows } from "./arrows.ts";
import { packageJson, short, treeOf } from "./test-tree.ts";

const protocol = packageJson("@nexengine/protocol", [], [], {
  ".": "./src/mod.ts",
  "./tokens": "./src/tokens/mod.ts",
});

/** The findings for one file of a package that declares what is given. */
function findings(
  path: string,
  text: string,
  dependencies: string[] = [],
  devDependencies: string[] = [],
): string[] {
  const folder = path.split("/")[1] ?? "";
  const tree = treeOf({
    "packages/protocol/package.json": protocol,
    "packages/machines/package.json": packageJson("@nexengine/machines"),
    [`packages/${folder}/package.json`]: packageJson(`@nexengine/${folder}`, dependencies, devDependencies),
    [path]: text,
  });
  return short(checkArrows(tree));
}

test("checkArrows passes what the table allows and the package declares", () => {
  const text = `import { a } from "@nexengine/protocol";
import { e } from "@nexengine/protocol/tokens";
import { b } from "@nexengine/machines/internal";
import { pino } from "pino";
import { join } from "node:path";
import { c } from "./c.ts";
import { d } from "../../package.json" with { type: "json" };`;
  const dependencies = ["@nexengine/protocol", "@nexengine/machines", "pino"];
  assert.deepEqual(findings("packages/node/src/telemetry/a.ts", text, dependencies), []);
});

test("checkArrows refuses an import against the table, of types too", () => {
  assert.deepEqual(findings("packages/protocol/src/a.ts", 'import type { A } from "@nexengine/client";'), [
    'packages/protocol/src/a.ts:1 "protocol" may not import @nexengine/client; it may import none',
  ]);
  assert.deepEqual(findings("packages/cli/src/a.ts", '\n\nimport { a } from "@nexengine/agent";'), [
    'packages/cli/src/a.ts:3 "cli" may not import @nexengine/agent; it may import protocol, provision, machines, client, node',
  ]);
});

test("checkArrows refuses a declared dependency against the table, and a package that the table does not know", () => {
  assert.match(
    findings("packages/client/src/a.ts", "", ["@nexengine/node"]).join(),
    /"client" may not depend on @nexengine\/node; it may on protocol/,
  );
  assert.match(findings("packages/extra/src/a.ts", "").join(), /package "extra" has no line in the table/);
});

test("checkArrows refuses what the package does not declare", () => {
  assert.deepEqual(findings("packages/node/src/a.ts", 'import "@scope/name/deep";'), [
    "packages/node/src/a.ts:1 @scope/name is not declared in packages/node/package.json; add it there, or import something else",
  ]);
  assert.match(
    findings("packages/node/src/a.ts", 'import "@nexengine/protocol";').join(),
    /is not declared in/,
  );
});

test("checkArrows refuses a way past the doors of a package, and out of the own one", () => {
  const declared = ["@nexengine/protocol"];
  assert.match(
    findings("packages/node/src/a.ts", 'import "@nexengine/protocol/src/keys.ts";', declared).join(),
    /is not a door of @nexengine\/protocol; its doors are @nexengine\/protocol, @nexengine\/protocol\/tokens/,
  );
  assert.match(
    findings("packages/node/src/a.ts", 'import "../../protocol/src/keys.ts";', declared).join(),
    /leaves the package; import another package by its name/,
  );
});

test("checkArrows lets tests import the test kit and development dependencies, and nothing else does", () => {
  const text = 'import "@nexengine/testing"; import "ajv";';
  const declared = ["@nexengine/testing", "ajv"];
  assert.deepEqual(findings("packages/node/src/a.test.ts", text, [], declared), []);
  assert.deepEqual(findings("packages/node/src/testing/kit.ts", text, [], declared), []);
  assert.match(
    findings("packages/node/src/a.ts", text, [], declared).join(),
    /may not import @nexengine\/testing.*ajv is not/,
  );
  assert.match(
    findings("packages/protocol/src/a.test.ts", 'import "@nexengine/node";', [], ["@nexengine/node"]).join(),
    /"protocol" may not import @nexengine\/node; it may import testing/,
  );
});

test("checkArrows keeps protocol away from files and connections, its tests excepted", () => {
  const text = 'import { createHash } from "node:crypto";\nimport { readFile } from "node:fs/promises";';
  assert.match(
    findings("packages/protocol/src/a.ts", text).join(),
    /^\S+a\.ts:2 "protocol" may not import node:fs\/promises/,
  );
  assert.deepEqual(findings("packages/protocol/src/a.test.ts", text), []);
  assert.deepEqual(findings("packages/machines/src/a.ts", text), []);
});

test("checkArrows lets tools use what the workspace declares, and nothing else", () => {
  const tree = treeOf({
    "package.json": packageJson("root", [], ["typescript"]),
    "packages/cli/package.json": packageJson("nexengine", ["esbuild"]),
    "tools/a.ts":
      'import "esbuild"; import "typescript";\nimport "left-pad";\nimport "../packages/cli/src/a.ts";',
  });
  assert.deepEqual(short(checkArrows(tree)), [
    "tools/a.ts:2 left-pad is declared in no package.json of the workspace",
  ]);
});
