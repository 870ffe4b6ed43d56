import assert from "node:assert/strict";
import { test } from "node:test";
import type { Subject } from "../abilities.ts";
import { eventually, within } from "../expect.ts";
import { actMs, TestMachine } from "../test-machine.ts";

const longMs = 600_000;

export function stopCases({ driver, abilities }: Subject): void {
  const realOnly = { skip: !abilities.realGuest };

  test("stop ends a cooperative guest without force", async () => {
    await using machine = await TestMachine.ready(driver, abilities);
    assert.deepEqual(await within(machine.machine.stop(longMs), actMs, "the stop"), { forced: false });
    await within(machine.machine.exited, actMs, "the exit");
  });

  test("stop kills a guest that ignores it", async () => {
    await using machine = await TestMachine.ready(driver, abilities);
    assert.equal(await machine.ask("ignore"), "ignoring");
    assert.deepEqual(await within(machine.machine.stop(50), actMs, "the stop"), { forced: true });
    assert.equal((await within(machine.machine.exited, actMs, "the exit")).reason, "killed");
  });

  test("stop kills processes that a guest leaves behind", realOnly, async () => {
    await using machine = await TestMachine.ready(driver, abilities);
    assert.match(await machine.ask("child"), /^\d+$/);
    assert.deepEqual(await within(machine.machine.stop(longMs), actMs, "the stop"), { forced: false });
    const { directory } = machine.spec;
    await eventually(() => abilities.orphans(directory).length === 0, actMs, "the child is gone");
  });

  test("stop returns the same result twice", async () => {
    await using machine = await TestMachine.ready(driver, abilities);
    const first = machine.machine.stop(longMs);
    const second = machine.machine.stop(longMs);
    const both = await within(Promise.all([first, second]), actMs, "both stops");
    assert.deepEqual(both, [{ forced: false }, { forced: false }]);
    assert.deepEqual(await machine.machine.stop(0), { forced: false });
  });

  test("stop with a shorter grace period shortens the first stop", async () => {
    await using machine = await TestMachine.ready(driver, abilities);
    assert.equal(await machine.ask("ignore"), "ignoring");
    const first = machine.machine.stop(longMs);
    assert.deepEqual(await within(machine.machine.stop(20), actMs, "the second stop"), { forced: true });
    assert.deepEqual(await within(first, actMs, "the first stop"), { forced: true });
  });

  test("stop and destroy at the same time both settle", async () => {
    await using machine = await TestMachine.ready(driver, abilities);
    assert.equal(await machine.ask("ignore"), "ignoring");
    const stopped = machine.machine.stop(longMs);
    await within(machine.machine.destroy(), actMs, "the destroy");
    assert.deepEqual(await within(stopped, actMs, "the stop"), { forced: true });
  });

  test("stop after the exit reports no force", async () => {
    await using machine = await TestMachine.ready(driver, abilities);
    machine.frames.write("exit 3\n");
    await within(machine.machine.exited, actMs, "the exit");
    assert.deepEqual(await within(machine.machine.stop(longMs), actMs, "the stop"), { forced: false });
  });
}
