import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { mutants } from "./mutants/list.ts";
import { mutated } from "./mutants/tree.ts";

const root = join(import.meta.dirname, "..");

for (const mutant of mutants) {
  test(`the mutant "${mutant.name}" still fits the code, and its tests are there`, () => {
    const text = readFileSync(join(root, mutant.file), "utf8");
    assert.notEqual(mutated(text, mutant), text);
    for (const path of mutant.tests) assert.ok(existsSync(join(root, path)), path);
  });
}

test("a mutant whose text is gone, or there twice, is refused", () => {
  const [mutant] = mutants;
  assert.ok(mutant !== undefined);
  for (const text of ["", mutant.text + mutant.text])
    assert.throws(() => mutated(text, mutant), { code: "usage", message: /occurs [02] times/ });
});
