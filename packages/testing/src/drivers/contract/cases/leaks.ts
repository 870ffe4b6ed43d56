import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import type { Subject } from "../abilities.ts";
import { eventually } from "../expect.ts";
import { countDescriptors } from "../host-processes.ts";
import { actMs, TestMachine } from "../test-machine.ts";

const machinesCount = 5;

export function leakCases({ driver, abilities }: Subject): void {
  /** Boots, uses and destroys one machine. @returns its directory. */
  async function live(): Promise<string> {
    await using machine = await TestMachine.ready(driver, abilities);
    if (abilities.realGuest) await machine.ask("child");
    await machine.machine.usage();
    await machine.machine.stop(actMs);
    return machine.spec.directory;
  }

  test("five machines in sequence leave no process, directory or descriptor", async () => {
    await live();
    const before = countDescriptors();
    for (let index = 0; index < machinesCount; index++) {
      const directory = await live();
      assert.equal(existsSync(directory), false);
      assert.deepEqual(abilities.orphans(directory), []);
    }
    await eventually(() => countDescriptors() <= before, actMs, `descriptors are back to ${before}`);
  });

  test("usage includes a machine's child processes", { skip: !abilities.realGuest }, async () => {
    await using machine = await TestMachine.ready(driver, abilities);
    assert.match(await machine.ask("child"), /^\d+$/);
    const { memoryBytes, cpuMs, processes } = await machine.machine.usage();
    if (memoryBytes !== undefined) assert.ok(memoryBytes > 1_000_000, `${memoryBytes} bytes`);
    if (cpuMs !== undefined) assert.ok(cpuMs > 0, `${cpuMs} ms`);
    if (processes !== undefined) assert.ok(processes >= 1, `${processes} processes`);
  });

  test("usage also works for an exited machine", async () => {
    await using machine = await TestMachine.ready(driver, abilities);
    await machine.machine.stop(actMs);
    const { processes = 0 } = await machine.machine.usage();
    assert.equal(processes, 0);
  });
}
