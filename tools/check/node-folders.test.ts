import assert from "node:assert/strict";
import { test } from "node:test";
import { checkNodeFolders } from "./node-folders.ts";
import { short, treeOf } from "./test-tree.ts";

function findings(file: string, ...specifiers: string[]): string[] {
  const text = specifiers.map((specifier) => `import { a } from "${specifier}";`).join("\n");
  return short(checkNodeFolders(treeOf({ [`packages/node/src/${file}`]: text })));
}

test("checkNodeFolders passes imports forward, in the own folder, and of what stands beside", () => {
  assert.deepEqual(
    findings("control-api/a.ts", "./b.ts", "../admission/a.ts", "../machines/a.ts", "../state/a.ts"),
    [],
  );
  assert.deepEqual(
    findings("workloads/a.ts", "../machines/a.ts", "../agent-client/a.ts", "../errors.ts"),
    [],
  );
  assert.deepEqual(findings("machines/a.ts", "../agent-client/a.ts", "../artifacts/a.ts"), []);
  assert.deepEqual(findings("functions/triggers/a.ts", "../function-calls.ts", "../../machines/a.ts"), []);
});

test("checkNodeFolders refuses imports backwards", () => {
  assert.match(
    findings("functions/triggers/a.ts", "../../workloads/a.ts").join(),
    /functions may not import workloads/,
  );
  assert.deepEqual(findings("machines/a.ts", "../workloads/a.ts"), [
    "packages/node/src/machines/a.ts:1 machines may not import workloads: the order is " +
      "control-api → admission → workloads → functions → machines, artifacts → agent-client",
  ]);
  assert.match(
    findings("admission/deep/a.ts", "../../control-api/a.ts").join(),
    /admission may not import control-api/,
  );
  assert.match(
    findings("state/a.ts", "../admission/a.ts").join(),
    /state stands beside the order and may not import/,
  );
});

test("checkNodeFolders lets only the doors import node.ts, and only node.ts compose", () => {
  assert.deepEqual(findings("mod.ts", "./node.ts"), []);
  assert.deepEqual(findings("internal.ts", "./node.ts", "./control-api/a.ts"), []);
  assert.deepEqual(findings("node.ts", "./control-api/a.ts", "./admission/a.ts", "./pool/a.ts"), []);
  assert.match(
    findings("telemetry/a.ts", "../node.ts").join(),
    /only mod\.ts and internal\.ts may import node\.ts/,
  );
  assert.match(
    findings("helper.ts", "./control-api/a.ts").join(),
    /only node\.ts composes: helper\.ts may not/,
  );
});

test("checkNodeFolders wants a place in the order for each folder", () => {
  assert.match(findings("extras/a.ts").join(), /folder "extras" has no place in the order/);
});

test("checkNodeFolders lets only sandbox/kinds.ts name drivers; types and tests are free", () => {
  const text = 'import { MachineError, ProcessDriver } from "@nexengine/machines";';
  const check = (file: string, code: string) =>
    short(checkNodeFolders(treeOf({ [`packages/node/src/${file}`]: code })));
  assert.deepEqual(check("sandbox/kinds.ts", text), []);
  assert.deepEqual(check("machines/a.test.ts", text), []);
  assert.deepEqual(
    check("machines/a.ts", 'import { type Driver, MachineError } from "@nexengine/machines";'),
    [],
  );
  assert.match(
    check("machines/a.ts", text).join(),
    /only sandbox\/kinds\.ts names drivers, not this file \(ProcessDriver\)/,
  );
  assert.match(
    check("machines/a.ts", 'import * as machines from "@nexengine/machines";').join(),
    /only sandbox\/kinds\.ts/,
  );
});
