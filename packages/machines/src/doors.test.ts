import assert from "node:assert/strict";
import { test } from "node:test";
import * as internal from "./internal.ts";
import * as mod from "./mod.ts";

test("the internal entry point exports everything that the public one exports", () => {
  for (const name of Object.keys(mod)) assert.ok(name in internal, name);
});
