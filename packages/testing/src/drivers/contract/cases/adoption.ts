import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { pattern } from "../../guest/guest-commands.ts";
import type { Subject } from "../abilities.ts";
import { afterNodeDeath, type DeadNode } from "../dead-node.ts";
import { eventually, within } from "../expect.ts";
import { makeSpec } from "../spec.ts";
import { actMs, TestMachine } from "../test-machine.ts";

/** Timeout for a lost node; no guest gives up during a test. */
const patientMs = 60_000;
/** The second call does not fit into a FIFO, so the node dies while the guest still writes. */
const callSizes = [100, 200_000];

/** Cases of a machine that outlives its node. */
export function adoptionCases({ driver, abilities }: Subject): void {
  const skip = !abilities.recover || !abilities.driverModule;

  async function adopt({ directory, record }: DeadNode): Promise<TestMachine> {
    const found = await driver.recover?.(record);
    const spec = await makeSpec({ directory });
    return new TestMachine(found ?? assert.fail("The machine is gone"), spec, abilities);
  }

  test("a machine outlives kill -9 of its node, and answers the next one", { skip }, async () => {
    await afterNodeDeath(abilities, { command: "hello", nodeLostTimeoutMs: patientMs }, async (left) => {
      await using machine = await adopt(left);
      await machine.attach(2);
      assert.match(await machine.ask("hello"), /^\d+$/);
      assert.equal(await machine.ask("console 10"), "filled");
      await machine.machine.destroy();
      const exit = await within(machine.machine.exited, actMs, "the exit");
      assert.equal(exit.reason, "killed");
      assert.match(exit.console, /the last line/);
      assert.deepEqual(abilities.orphans(left.directory), []);
    });
  });

  for (const size of callSizes) {
    test(`a call of ${size} bytes ends when its node dies, and the next node receives calls`, {
      skip,
    }, async () => {
      const order = { command: `call ${size}`, nodeLostTimeoutMs: patientMs };
      await afterNodeDeath(abilities, order, async (left) => {
        await using machine = await adopt(left);
        await machine.attach(2);
        machine.frames.write(`call ${size}\n`);
        const { request, answer } = await machine.takeCall();
        assert.ok(request.equals(pattern(size)));
        answer();
        assert.equal(await machine.line(), `called ${size}`);
      });
    });
  }

  test("a machine can be recovered and stopped without an attach", { skip }, async () => {
    await afterNodeDeath(abilities, { command: "hello", nodeLostTimeoutMs: patientMs }, async (left) => {
      await using machine = await adopt(left);
      assert.deepEqual(await machine.machine.stop(actMs), { forced: false });
    });
  });

  test("a machine exits when its node stays away, and recover cleans up", { skip }, async () => {
    await afterNodeDeath(abilities, { command: "hello", nodeLostTimeoutMs: 100 }, async (left) => {
      const ended = () => abilities.orphans(left.directory).length === 0;
      await eventually(ended, actMs, "the machine has exited");
      // A machine counts as running until its last thread has exited.
      const dying = await driver.recover?.(left.record);
      await dying?.exited;
      await dying?.destroy();
      assert.equal(await driver.recover?.(left.record), undefined);
      assert.equal(existsSync(left.directory), false);
    });
  });

  test("recover without facts removes a running machine", { skip }, async () => {
    await afterNodeDeath(abilities, { command: "hello", nodeLostTimeoutMs: patientMs }, async (left) => {
      assert.equal(await driver.recover?.({ ...left.record, facts: {} }), undefined);
      assert.deepEqual(abilities.orphans(left.directory), []);
      assert.equal(existsSync(left.directory), false);
    });
  });
}
