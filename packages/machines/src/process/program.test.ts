import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import {
  actMs,
  countDescriptors,
  eventually,
  makeSpec,
  processesOf,
  rejectsWith,
  within,
} from "@nexengine/testing/internal";
import { ProcessDriver } from "./driver.ts";

test("boot of a program that does not exist fails and leaves nothing", async () => {
  const before = countDescriptors();
  for (const name of ["/nowhere/guest", "no-such-program-anywhere", "/etc/passwd", "/etc"]) {
    const spec = await makeSpec();
    await rejectsWith(new ProcessDriver({ command: [name] }).boot(spec), "boot_failed");
    assert.equal(existsSync(spec.directory), false);
    assert.deepEqual(processesOf(spec.directory), []);
  }
  await eventually(() => countDescriptors() <= before, actMs, "descriptors are given back");
});

test("boot with an invalid argument fails and leaves nothing", async () => {
  const before = countDescriptors();
  const spec = await makeSpec();
  await rejectsWith(new ProcessDriver({ command: ["sh", "a\0b"] }).boot(spec), "boot_failed");
  assert.equal(existsSync(spec.directory), false);
  await eventually(() => countDescriptors() <= before, actMs, "descriptors are given back");
});

test("fingerprint says what is wrong with the program and what to do", async () => {
  const fingerprint = await new ProcessDriver({ command: ["/nowhere/guest"] }).fingerprint();
  assert.deepEqual(fingerprint, {
    available: false,
    reason: '"/nowhere/guest" is not an executable file',
    advice: "Name another program for machines",
  });
});

test("a program that the kernel can't start fails the boot, or `exited` reports the reason", async () => {
  const spec = await makeSpec();
  const file = join(spec.directory, "guest");
  await writeFile(file, "#!/nowhere/interpreter\n");
  await chmod(file, 0o755);
  const machine = await new ProcessDriver({ command: [file] }).boot(spec).catch(() => undefined);
  if (machine) {
    const exit = await within(machine.exited, actMs, "the exit");
    await machine.destroy();
    assert.notEqual(exit.code, 0);
    assert.match(exit.console, /guest/);
  }
  assert.equal(existsSync(spec.directory), false);
});
