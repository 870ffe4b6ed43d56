import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { hostileCases } from "./cases/all.ts";
import { withCases } from "./guide-table.ts";

test("the guide on isolation lists every hostile case as it is tested (npm run fix writes it)", () => {
  const guide = readFileSync(new URL("../../docs/guide/isolation.md", import.meta.url), "utf8");
  assert.equal(guide, withCases(guide));
});

test("hostile cases have names of their own, and there are enough of each kind", () => {
  const names = hostileCases.map(({ name }) => name);
  assert.deepEqual(
    names.filter((name, at) => names.indexOf(name) !== at),
    [],
  );
  for (const kind of ["service", "function", "agent"]) {
    assert.ok(hostileCases.filter((hostile) => hostile.kind === kind).length >= 20, kind);
  }
});
