import assert from "node:assert/strict";
import { test } from "node:test";
import type { LimitName, MachineLimits } from "@nexengine/machines/internal";
import type { Subject } from "../abilities.ts";
import { eventually, within } from "../expect.ts";
import { makeSpec } from "../spec.ts";
import { actMs, TestMachine } from "../test-machine.ts";

const mebibyte = 1_048_576;

/** Limits against a guest that exceeds them. They require a real guest program. */
export function limitCases({ driver, abilities }: Subject): void {
  const unless = (name: LimitName) => ({ skip: !abilities.realGuest || !abilities.enforces.includes(name) });

  async function limited(limits: MachineLimits): Promise<TestMachine> {
    const machine = await TestMachine.boot(driver, abilities, await makeSpec({ limits }));
    await machine.attach(1);
    return machine;
  }

  test("a machine that exceeds its memory limit exits, and its neighbour keeps running", {
    ...unless("memoryBytes"),
  }, async () => {
    await using neighbour = await TestMachine.ready(driver, abilities);
    await using machine = await limited({ memoryBytes: 192 * mebibyte });
    assert.equal(await machine.ask("hog"), "hogging");
    assert.equal((await within(machine.machine.exited, actMs, "the exit")).reason, "out_of_memory");
    assert.match(await neighbour.ask("hello"), /^\d+$/);
  });

  test("a machine can't exceed its process limit, and its neighbour can start processes", {
    ...unless("processes"),
  }, async () => {
    await using neighbour = await TestMachine.ready(driver, abilities);
    await using machine = await limited({ processes: 40 });
    const started = Number(await machine.ask("fork 60"));
    assert.ok(started < 60, `${started} were started`);
    const { processes = 0 } = await machine.machine.usage();
    assert.ok(processes <= 40, `${processes} run`);
    assert.match(await neighbour.ask("child"), /^\d+$/);
  });

  test("a machine can't exceed its disk limit, and can use almost all of it", {
    ...unless("diskBytes"),
  }, async () => {
    await using machine = await limited({ diskBytes: 16 * mebibyte });
    const written = Number(await machine.ask(`fill ${64 * mebibyte}`));
    assert.ok(written <= 16 * mebibyte && written >= 14 * mebibyte, `${written} bytes were written`);
    assert.equal(Number(await machine.ask(`fill ${mebibyte}`)), mebibyte);
  });

  test("a busy machine gets only its share of a CPU", {
    ...unless("vcpus"),
  }, async () => {
    await using machine = await limited({ vcpus: 0.25 });
    assert.equal(await machine.ask("spin"), "spinning");
    const { cpuMs: before = 0 } = await machine.machine.usage();
    const startedAt = performance.now();
    let cpuMs = 0;
    const used = async (): Promise<boolean> => {
      cpuMs = ((await machine.machine.usage()).cpuMs ?? 0) - before;
      return cpuMs >= 250;
    };
    await eventually(used, actMs, "it has used a quarter of a second");
    const wallMs = performance.now() - startedAt;
    assert.ok(wallMs > cpuMs * 2, `${cpuMs} ms within ${Math.round(wallMs)} ms`);
  });
}
