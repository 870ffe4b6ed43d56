import assert from "node:assert/strict";
import { open, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { makeSpec, prepareQemu, qemuAbilities, TestMachine } from "@nexengine/testing/internal";
import { QemuDriver } from "./driver.ts";

/** Overwrites a file from an offset on. */
async function damage(path: string, from: number): Promise<void> {
  const { size } = await stat(path);
  await using file = await open(path, "r+");
  await file.write(Buffer.alloc(size - from, 0xa5), 0, size - from, from);
}

test("a damaged template fails one boot, and the next machines boot without it", async (context) => {
  await using microVms = await prepareQemu();
  if (microVms.unmetRequirement !== undefined) return context.skip(microVms.unmetRequirement);
  const driver = new QemuDriver(microVms.options);
  try {
    for (let machine = 0; machine < 2; machine++)
      await (await TestMachine.ready(driver, qemuAbilities))[Symbol.asyncDispose]();
    const templates = join(microVms.options.stateDirectory, "templates");
    const [id = assert.fail("no template")] = await readdir(templates);
    await damage(join(templates, id, "state"), 0);
    const spec = await makeSpec();
    await assert.rejects(driver.boot(spec), { code: "boot_failed" });
    await assert.rejects(stat(spec.directory), { code: "ENOENT" });
    assert.deepEqual(await readdir(templates), []);
    await using machine = await TestMachine.ready(driver, qemuAbilities);
    assert.match(await machine.ask("hello"), /^\d+$/);
  } finally {
    await driver.close();
  }
});

test("the probe detects a damaged image and quotes the guest", async (context) => {
  await using microVms = await prepareQemu();
  if (microVms.unmetRequirement !== undefined) return context.skip(microVms.unmetRequirement);
  await damage(microVms.options.image, 2_048);
  const found = await new QemuDriver(microVms.options).fingerprint();
  assert.ok(!found.available);
  assert.match(
    found.reason,
    /the probe failed\. The machine exited before its agent answered, with: .*nex init/,
  );
});
