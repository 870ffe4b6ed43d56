/** Functions in Wasm, through a real node. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { compileWasm, startTestNexus, type TestNexus } from "@nexengine/testing";

const examples = join(import.meta.dirname, "../examples/wasm");

describe("functions in Wasm", () => {
  let nexus: TestNexus;
  before(async () => {
    nexus = await startTestNexus();
  });
  after(async () => {
    await nexus[Symbol.asyncDispose]();
  });

  test("the echo in wat answers, over one message and over many frames (B15)", async () => {
    const echo = await compileWasm(join(examples, "echo.wat"));
    assert.ok(echo !== undefined);
    const deployed = await nexus.deploy({ path: echo.path }, { type: "wasm", triggerSubjects: ["echo.>"] });
    assert.equal(await nexus.call("echo.a", "hello"), "hello");
    const payload = Buffer.alloc(500_000, "0123456789");
    assert.ok(Buffer.from((await nexus.client.call("echo.b", payload)).data).equals(payload));
    await nexus.stop(deployed);
  });
});
