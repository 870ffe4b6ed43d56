import assert from "node:assert/strict";
import { test } from "node:test";
import * as internal from "./internal.ts";
import * as mod from "./mod.ts";

test("the wider door has all that the public one has", () => {
  for (const name of Object.keys(mod)) assert.ok(name in internal, name);
});
