import assert from "node:assert/strict";
import { test } from "node:test";
import { checkStyle } from "./style.ts";
import { short, treeOf } from "./test-tree.ts";

const findings = (path: string, text: string) => short(checkStyle(treeOf({ [path]: text })));

test("checkStyle refuses a subject written out, but in protocol, tests, comments and docs", () => {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the template stands in the source that is checked
  const subject = "const a = 1;\nconst subject = `$NEX.DEPLOY.${namespace}`;";
  assert.deepEqual(findings("packages/node/src/a.ts", subject), [
    "packages/node/src/a.ts:2 a subject is written out; build or parse it with a function of @nexengine/protocol",
  ]);
  assert.equal(findings("packages/cli/src/a.ts", 'const a = "$NEX.PING";').length, 1);
  for (const path of ["packages/protocol/src/a.ts", "packages/node/src/a.test.ts", "docs/a.md"]) {
    assert.deepEqual(findings(path, subject), []);
  }
  assert.deepEqual(findings("packages/node/src/a.ts", "// answers $NEX.PING"), []);
});

test("checkStyle refuses a plain Error in packages, but in their tests and in tools", () => {
  const text = '\nthrow new Error("no");';
  assert.deepEqual(findings("packages/node/src/a.ts", text), [
    "packages/node/src/a.ts:2 throws a plain Error; throw one with a code",
  ]);
  for (const path of ["packages/node/src/a.test.ts", "tools/a.ts"])
    assert.deepEqual(findings(path, text), []);
  const others = 'throw new TypeError("a"); throw new MachineError("b", "c"); // throw new Error("d")';
  assert.deepEqual(findings("packages/node/src/a.ts", others), []);
});

test("checkStyle refuses open work wherever it stands, but not in longer words", () => {
  for (const word of ["FIXME", "TODO", "XXX"]) {
    assert.match(
      findings("docs/a.md", `one\n${word}: two`).join(),
      new RegExp(`^docs/a.md:2 "${word}": finish it`),
    );
  }
  assert.deepEqual(findings("docs/a.md", "mktemp nex-XXXXXX, a Todo list, TODOS"), []);
});

test("checkStyle refuses a source of more than 500 lines", () => {
  assert.deepEqual(findings("packages/node/src/a.ts", "\n".repeat(500)), []);
  assert.match(
    findings("packages/node/src/a.ts", "\n".repeat(501)).join(),
    /has 501 lines, and 500 is the most/,
  );
  assert.deepEqual(findings("docs/a.md", "\n".repeat(501)), []);
});

test("checkStyle refuses paths of one machine and hosts of registries, in any file", () => {
  for (const text of [
    "see /root/x",
    '"/work/main/a"',
    "`/home/me/a`",
    "https://registry.npmjs.org/a",
    "pypi.org",
  ]) {
    assert.equal(findings("docs/a.md", text).length, 1, text);
  }
  assert.equal(findings("package-lock.json", '"https://registry.npmjs.org/a.tgz"').length, 1);
  for (const text of [
    "src/work/a",
    "./work/a",
    "~/work/a",
    "/workloads/a",
    "https://a.example/root/b",
    "/rootfs/a",
  ]) {
    assert.deepEqual(findings("docs/a.md", text), [], text);
  }
});
