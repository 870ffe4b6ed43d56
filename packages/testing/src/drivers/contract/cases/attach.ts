import assert from "node:assert/strict";
import { test } from "node:test";
import type { Subject } from "../abilities.ts";
import { rejectsWith, within } from "../expect.ts";
import { actMs, TestMachine } from "../test-machine.ts";

export function attachCases({ driver, abilities }: Subject): void {
  test("attach is refused after the machine has exited", async () => {
    await using machine = await TestMachine.boot(driver, abilities);
    await machine.machine.stop(0);
    await rejectsWith(machine.machine.attach(1), "wrong_state");
  });

  test("attach is refused after destroy", async () => {
    await using machine = await TestMachine.boot(driver, abilities);
    await machine.machine.destroy();
    await rejectsWith(machine.machine.attach(1), "wrong_state");
  });

  test("a second attach is refused, and the first one stays open", { skip: abilities.reattach }, async () => {
    await using machine = await TestMachine.ready(driver, abilities);
    await rejectsWith(machine.machine.attach(2), "attach_failed");
    assert.match(await machine.ask("hello"), /^\d+$/);
  });

  test("attach starts a new epoch and closes the previous channels", {
    skip: !abilities.reattach,
  }, async () => {
    await using machine = await TestMachine.ready(driver, abilities);
    const closed = new Promise((resolve) => machine.frames.once("close", resolve));
    await machine.attach(2);
    await within(closed, actMs, "the end of the previous frames");
    assert.match(await machine.ask("hello"), /^\d+$/);
    await rejectsWith(machine.machine.attach(2), "attach_failed");
  });

  test("recover finds a running machine, which answers in the next epoch", {
    skip: !abilities.recover,
  }, async () => {
    await using machine = await TestMachine.ready(driver, abilities);
    const record = machine.machine.record?.() ?? assert.fail("No record");
    const found = await driver.recover?.(JSON.parse(JSON.stringify(record)));
    await using again = new TestMachine(found ?? assert.fail("Not found"), machine.spec, abilities);
    await again.attach(2);
    assert.match(await again.ask("hello"), /^\d+$/);
  });

  test("a machine that was let go of goes on, and answers whoever recovers it", {
    skip: !abilities.recover,
  }, async () => {
    const machine = await TestMachine.ready(driver, abilities);
    const record = machine.machine.record?.() ?? assert.fail("No record");
    const closed = new Promise((resolve) => machine.frames.once("close", resolve));
    assert.ok(machine.machine.detach, "A machine that can be recovered can be let go of");
    machine.machine.detach();
    await within(closed, actMs, "the end of its frames");
    await rejectsWith(machine.machine.attach(2), "wrong_state");
    const found = await driver.recover?.(record);
    assert.notEqual(found, machine.machine);
    await using again = new TestMachine(found ?? assert.fail("Not found"), machine.spec, abilities);
    await again.attach(2);
    assert.match(await again.ask("hello"), /^\d+$/);
  });

  test("recover reports that an exited machine is gone", { skip: !abilities.recover }, async () => {
    await using machine = await TestMachine.ready(driver, abilities);
    const record = machine.machine.record?.() ?? assert.fail("No record");
    await machine.machine.destroy();
    assert.equal(await driver.recover?.(record), undefined);
  });
}
