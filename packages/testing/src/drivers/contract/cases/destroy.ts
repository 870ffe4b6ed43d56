import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import type { Subject } from "../abilities.ts";
import { eventually, within } from "../expect.ts";
import { actMs, TestMachine } from "../test-machine.ts";

export function destroyCases({ driver, abilities }: Subject): void {
  const realOnly = { skip: !abilities.realGuest };

  /** Destroys the machine and checks that nothing is left. */
  async function destroyed(machine: TestMachine): Promise<void> {
    const { directory } = machine.spec;
    await within(machine.machine.destroy(), actMs, "the destroy");
    assert.equal(existsSync(directory), false, "The directory is left");
    await eventually(() => abilities.orphans(directory).length === 0, actMs, "nothing is left");
  }

  test("destroy removes the directory and its content", async () => {
    await using machine = await TestMachine.ready(driver, abilities);
    await writeFile(join(machine.spec.directory, "file"), "content");
    await destroyed(machine);
  });

  test("destroy twice, and twice at the same time", async () => {
    await using machine = await TestMachine.ready(driver, abilities);
    await within(Promise.all([machine.machine.destroy(), machine.machine.destroy()]), actMs, "both");
    await destroyed(machine);
  });

  test("destroy while the guest is starting", async () => {
    await using machine = await TestMachine.boot(driver, abilities);
    await destroyed(machine);
  });

  test("destroy while an attach waits", async () => {
    await using machine = await TestMachine.boot(driver, abilities);
    const attached = machine.machine.attach(1).catch(() => undefined);
    await destroyed(machine);
    await within(attached, actMs, "the attach");
  });

  test("destroy after the machine has exited", async () => {
    await using machine = await TestMachine.ready(driver, abilities);
    machine.frames.write("exit 0\n");
    await within(machine.machine.exited, actMs, "the exit");
    await destroyed(machine);
  });

  test("destroy closes the channels", async () => {
    await using machine = await TestMachine.ready(driver, abilities);
    await destroyed(machine);
    await eventually(
      () => machine.frames.destroyed && machine.calls.destroyed,
      actMs,
      "the channels are closed",
    );
  });

  test("destroy kills a guest in an endless loop", realOnly, async () => {
    await using machine = await TestMachine.ready(driver, abilities);
    assert.equal(await machine.ask("spin"), "spinning");
    await destroyed(machine);
  });

  test("destroy kills a guest that is blocked in a call", async () => {
    await using machine = await TestMachine.ready(driver, abilities);
    machine.frames.write("call 100\n");
    await machine.takeCall();
    await destroyed(machine);
  });

  test("destroy kills a child that ignores signals", realOnly, async () => {
    await using machine = await TestMachine.ready(driver, abilities);
    assert.match(await machine.ask("child"), /^\d+$/);
    await destroyed(machine);
  });

  test("destroy kills a daemon that left the guest's session", realOnly, async () => {
    await using machine = await TestMachine.ready(driver, abilities);
    assert.match(await machine.ask("daemon"), /^\d+$/);
    await destroyed(machine);
  });

  test("destroy kills a daemon that outlived its guest", realOnly, async () => {
    await using machine = await TestMachine.ready(driver, abilities);
    assert.match(await machine.ask("daemon"), /^\d+$/);
    machine.frames.write("exit 0\n");
    await within(machine.machine.exited, actMs, "the exit");
    await destroyed(machine);
  });
}
