import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { suite, test } from "node:test";
import { rejectsWith, within } from "../contract/expect.ts";
import { makeSpec } from "../contract/spec.ts";
import { actMs } from "../contract/test-machine.ts";
import { MockDriver } from "./driver.ts";

suite("MockDriver", () => {
  test("fails boots as scripted, and cleans up after them", async () => {
    const mock = new MockDriver({ script: [{ fails: "no luck" }, { fails: new RangeError("odd") }, {}] });
    const spec = await makeSpec();
    await rejectsWith(mock.boot(spec), "boot_failed");
    assert.equal(existsSync(spec.directory), false);
    await assert.rejects(mock.boot(await makeSpec()), RangeError);
    const machine = await mock.boot(await makeSpec());
    assert.deepEqual(mock.machines, [machine]);
    assert.equal(mock.boots.length, 3);
    await machine.destroy();
  });

  test("holds a boot until its promise settles", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const mock = new MockDriver({ script: () => ({ until: promise }) });
    const booting = mock.boot(await makeSpec());
    await rejectsWith(mock.machineAt(0, 0), "wrong_state");
    resolve();
    assert.equal(await mock.machineAt(0), await booting);
    await (await booting).destroy();
  });

  test("gives the test the other ends of the channels", async () => {
    const mock = new MockDriver({ script: [{ sends: Buffer.from("ready") }] });
    const machine = await mock.boot(await makeSpec());
    assert.throws(() => machine.guest.frames, { code: "wrong_state" });
    const { frames, calls } = await machine.attach(1);
    await machine.guest.attached;
    assert.equal(String(await within(once(frames, "data"), actMs, "the first bytes")), "ready");
    machine.guest.calls.write("call");
    assert.equal(String(await within(once(calls, "data"), actMs, "a call")), "call");
    calls.write("answer");
    assert.equal(String(await within(once(machine.guest.calls, "data"), actMs, "the answer")), "answer");
    await machine.destroy();
  });

  test("plays guests that exit at once, don't attach or can't be destroyed", async () => {
    const mock = new MockDriver({
      script: [
        { endsAtOnce: { reason: "out_of_memory" } },
        { attachFails: "silence" },
        { destroyFailures: 1 },
      ],
    });
    const [dead, silent, stubborn] = [
      await mock.boot(await makeSpec()),
      await mock.boot(await makeSpec()),
      await mock.boot(await makeSpec()),
    ];
    assert.equal((await dead.exited).reason, "out_of_memory");
    await rejectsWith(dead.attach(1), "wrong_state");
    await rejectsWith(silent.attach(1), "attach_failed");
    await rejectsWith(stubborn.destroy(), "destroy_failed");
    for (const machine of mock.machines) await machine.destroy();
    assert.ok(mock.machines.every((machine) => machine.destroyed));
  });

  test("records the grace periods of stops", async () => {
    const mock = new MockDriver();
    const machine = await mock.boot(await makeSpec());
    await machine.stop(5);
    await machine.stop(7);
    assert.deepEqual(machine.stops, [5, 7]);
    await machine.destroy();
  });
});
