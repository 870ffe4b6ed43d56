import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import * as internal from "./internal.ts";
import * as mod from "./mod.ts";

test("the internal entry point exports everything that the public one exports", () => {
  for (const name of Object.keys(mod)) assert.ok(name in internal, name);
});

test("the internal entry point loads the contract suite only on demand", async () => {
  const script = `await import(${JSON.stringify(new URL("./internal.ts", import.meta.url).href)});
    process.exit(process.moduleLoadList.includes("NativeModule internal/test_runner/test") ? 1 : 0);`;
  const args = [...process.execArgv, "--input-type=module", "-e", script];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "ignore", "inherit"] });
  assert.deepEqual(await once(child, "exit"), [0, null]);
  assert.equal(typeof (await internal.loadDriverContract()).driverContract, "function");
});
