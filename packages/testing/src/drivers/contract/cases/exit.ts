import assert from "node:assert/strict";
import { test } from "node:test";
import { pattern } from "../../guest/guest-commands.ts";
import type { Subject } from "../abilities.ts";
import { within } from "../expect.ts";
import { actMs, TestMachine } from "../test-machine.ts";

const consoleBytesMax = 4096;

export function exitCases({ driver, abilities }: Subject): void {
  for (const code of [0, 7]) {
    test(`exited reports the status ${code}`, async () => {
      await using machine = await TestMachine.ready(driver, abilities);
      machine.frames.write(`exit ${code}\n`);
      const exit = await within(machine.machine.exited, actMs, "the exit");
      const seen = abilities.exitStatus || exit.code !== undefined;
      const expected = seen ? { reason: "exited", code } : { reason: "unknown", code: undefined };
      assert.deepEqual({ reason: exit.reason, code: exit.code }, expected);
    });
  }

  test("exited reports a kill", async () => {
    await using machine = await TestMachine.ready(driver, abilities);
    await machine.machine.destroy();
    const exit = await within(machine.machine.exited, actMs, "the exit");
    assert.deepEqual({ reason: exit.reason, code: exit.code }, { reason: "killed", code: undefined });
  });

  test("exited resolves for a machine that was never attached", async () => {
    await using machine = await TestMachine.boot(driver, abilities);
    await machine.machine.destroy();
    await within(machine.machine.exited, actMs, "the exit");
  });

  test("data written right before the exit can be read later", async () => {
    await using machine = await TestMachine.ready(driver, abilities);
    machine.frames.write("last 50000\n");
    await within(machine.machine.exited, actMs, "the exit");
    assert.ok((await machine.bytes(50_000)).equals(pattern(50_000)));
    assert.equal((await machine.bytes(1)).length, 0, "The frames end with the guest");
  });

  test("writing to an exited guest does no harm", async () => {
    await using machine = await TestMachine.ready(driver, abilities);
    machine.frames.write("exit 0\n");
    for (let index = 0; index < 10; index++) machine.frames.write(pattern(65_536));
    await within(machine.machine.exited, actMs, "the exit");
    machine.frames.write("hello\n");
    machine.calls.write("hello\n");
  });

  test("the end of the console is kept, at most 4 KiB", async () => {
    await using machine = await TestMachine.ready(driver, abilities);
    assert.equal(await machine.ask("console 100000"), "filled");
    machine.frames.write("exit 0\n");
    const { console } = await within(machine.machine.exited, actMs, "the exit");
    assert.ok(Buffer.byteLength(console) <= consoleBytesMax, `${Buffer.byteLength(console)} bytes`);
    assert.match(console, /xxxx|the last line/);
  });
}
