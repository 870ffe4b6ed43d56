import assert from "node:assert/strict";
import { test } from "node:test";
import { weaknesses } from "./rules.ts";
import { short, treeOf } from "./test-tree.ts";
import { checkWeaknesses } from "./weaknesses.ts";

const page = "docs/reference/differences.md";
const list = (of: (number: string) => string): string =>
  weaknesses.map((number) => `| ${number} | a weakness | ${of(number)} |`).join("\n");
const rest = (of: Record<string, string>): string => list((number) => of[number] ?? "one thread alone");
const findings = (text: string, tests = "") =>
  short(checkWeaknesses(treeOf({ [page]: text, "test/a.test.ts": tests })));

test("checkWeaknesses wants every number in the page of differences", () => {
  assert.deepEqual(findings(rest({})), []);
  assert.equal(findings("").length, weaknesses.length);
  assert.deepEqual(findings(rest({}).replace("| S3 ", "| S99 ")), [`${page} does not list S3`]);
});

test("checkWeaknesses wants a test of what is said to be tested, and the other way round", () => {
  const said = rest({ W1: "tested", B12: "tested; more comes later" });
  const names = 'test("W1 an auction", f);\nrow("1", "is shared (B6, B12)", f);';
  assert.deepEqual(findings(said, names.replace("B6, ", "")), []);
  assert.deepEqual(findings(said, names), [`${page} does not say that B6 is tested, as a test's name does`]);
  assert.deepEqual(findings(said, 'test("W1 an auction", f); // (B12)'), [
    `${page} says that B12 is tested, and no test has it in its name`,
  ]);
});
