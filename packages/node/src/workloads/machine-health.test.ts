import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { Quota } from "../budget/quota.ts";
import { type CheckResult, type HealthTimes, MachineHealth } from "./machine-health.ts";

const times: HealthTimes = { intervalMs: 5, timeoutMs: 60_000, threshold: 3, startMs: 60_000 };
const passed: CheckResult = { is: "passed" };
const failed: CheckResult = { is: "failed", reason: "no" };
const skipped: CheckResult = { is: "skipped", reason: "nobody can ask" };
const never = new Promise<CheckResult>(() => undefined);

type Step = CheckResult | Promise<CheckResult>;

/** A machine whose checks have these results; the last one repeats. */
class Bench {
  readonly told: string[] = [];
  readonly health: MachineHealth;
  readonly quota = new Quota({ common: 0, guaranteed: 1, ownerMax: 1 });
  readonly slots = this.quota.share();
  checks = 0;
  atOnce = 0;
  atOnceMax = 0;
  readonly #over = Promise.withResolvers<void>();

  constructor(steps: Step[], changes: Partial<HealthTimes> = {}) {
    const check = async (signal: AbortSignal): Promise<CheckResult> => {
      this.checks++;
      this.atOnceMax = Math.max(this.atOnceMax, ++this.atOnce);
      const step = steps[this.checks - 1] ?? steps.at(-1) ?? passed;
      const aborted = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
      await Promise.race([step, aborted.then(() => new Promise(setImmediate))]);
      this.atOnce--;
      return await step;
    };
    this.health = new MachineHealth({ ...times, ...changes }, check, this.slots, {
      passed: () => this.told.push("passed"),
      unhealthy: (reason) => {
        this.told.push(reason);
        this.#over.resolve();
      },
    });
  }

  /** Settles when the machine is unhealthy. */
  get over(): Promise<void> {
    return this.#over.promise;
  }
}

describe("MachineHealth that waits until its machine is ready", () => {
  test("is ready with the first check that passes, and tells so", async () => {
    const bench = new Bench([failed, skipped, passed]);
    await bench.health.ready();
    assert.ok(bench.health.isHealthy);
    assert.deepEqual([bench.checks, bench.told], [3, ["passed"]]);
    bench.health.end("");
  });

  test("gives up after the start time with the last failure", async () => {
    for (const [steps, reason] of [
      [[failed], "no"],
      [[failed, never], "no"],
      [[skipped], "nobody can ask"],
      [[never], "no answer so far"],
    ] as [Step[], string][]) {
      const bench = new Bench(steps, { startMs: 100 });
      await assert.rejects(bench.health.ready(), {
        code: "workload_not_ready",
        message: `Failed to deploy workload: its health check did not pass within 100 ms: ${reason}`,
      });
      assert.ok(!bench.health.isHealthy);
    }
  });

  test("gives up at once when it is ended, also before and while it checks or waits", async () => {
    const early = new Bench([passed]);
    early.health.end("it ended with status 3");
    await assert.rejects(early.health.ready(), { message: /it ended with status 3$/ });
    assert.equal(early.checks, 0);
    for (const step of [never, failed]) {
      const bench = new Bench([step]);
      const ready = bench.health.ready();
      const rejected = assert.rejects(ready, { code: "workload_not_ready", message: /it was lost$/ });
      await delay(20);
      bench.health.end("it was lost");
      await rejected;
    }
  });
});

describe("MachineHealth that watches its machine", () => {
  test("says that it is unhealthy after failures in a row, once, and checks no more", async () => {
    const bench = new Bench([failed, failed, passed, failed, failed, failed]);
    bench.health.watch(0);
    await bench.over;
    assert.deepEqual(bench.told, ["passed", "health check failed 3 times: no"]);
    assert.ok(!bench.health.isHealthy);
    await delay(30);
    assert.equal(bench.checks, 6);
  });

  test("names failures that are not enough yet", async () => {
    const { promise: held, resolve } = Promise.withResolvers<CheckResult>();
    const bench = new Bench([failed, held, passed]);
    bench.health.watch(0);
    while (bench.checks < 2) await delay(1);
    assert.equal(bench.health.trouble, "health check failed 1 of 3 times: no");
    assert.ok(bench.health.isHealthy);
    resolve(passed);
    while (bench.checks < 3) await delay(1);
    assert.equal(bench.health.trouble, undefined);
    bench.health.end("");
  });

  test("counts skipped checks neither way", async () => {
    const bench = new Bench([failed, skipped, failed, skipped, failed]);
    bench.health.watch(0);
    await bench.over;
    assert.equal(bench.checks, 5);
  });

  test("takes a check without an answer for failed, and never has two at once", async () => {
    const bench = new Bench([never], { timeoutMs: 10, threshold: 2 });
    bench.health.watch(0);
    await bench.over;
    assert.deepEqual(bench.told, ["health check failed 2 times: no answer within 10 ms"]);
    assert.equal(bench.atOnceMax, 1);
  });

  test("waits for a slot of its node, gives it back, and fails no machine meanwhile", async () => {
    const bench = new Bench([failed], { threshold: 1 });
    assert.ok(bench.slots.take(1));
    bench.health.watch(0);
    await delay(100);
    assert.deepEqual([bench.checks, bench.told], [0, []]);
    bench.slots.give(1);
    await bench.over;
    assert.deepEqual(bench.told, ["health check failed once: no"]);
    while (bench.slots.used > 0) await delay(1);
  });
});
