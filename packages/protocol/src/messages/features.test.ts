import assert from "node:assert/strict";
import { test } from "node:test";
import { features, nodeExtrasSchema, nodeFeatures, sandboxes } from "./features.ts";

test("nodeFeatures are known features, without duplicates", () => {
  for (const name of nodeFeatures) assert.ok(features.includes(name), name);
  assert.equal(new Set(nodeFeatures).size, nodeFeatures.length);
  assert.equal(new Set(features).size, features.length);
});

test("nodeExtrasSchema reads every kind of sandbox, and an unknown one as none", () => {
  for (const sandbox of sandboxes)
    assert.equal(nodeExtrasSchema.parse({ version: 1, sandbox }).sandbox, sandbox);
  assert.equal(nodeExtrasSchema.parse({ version: 1, sandbox: "moon" }).sandbox, undefined);
});

test("nodeExtrasSchema refuses another version and members of another type", () => {
  for (const bad of [{}, { version: 2 }, { version: 1, xkey_proof: 5 }, { version: 1, features: "all" }]) {
    assert.ok(!nodeExtrasSchema.safeParse(bad).success, JSON.stringify(bad));
  }
});
