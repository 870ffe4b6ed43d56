/** Goes through a schedule, and checks after each step that all is as the model says. */
import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { eventually } from "../../../packages/testing/src/observe.ts";
import { seededRandom } from "../../support/random.ts";
import { Faults } from "./faults.ts";
import { settle } from "./invariants.ts";
import { Model } from "./model.ts";
import { Operations } from "./operations.ts";
import { describeStep, Schedule, type Step } from "./schedule.ts";
import { idleUsage, type Usage } from "./usage.ts";
import type { World } from "./world.ts";

/** A stop may be lost, but not again and again. */
const stopRoundsMax = 5;

export class Run {
  readonly #world: World;
  readonly #model = new Model();
  readonly #schedule: Schedule;
  readonly #operations: Operations;
  readonly #faults: Faults;
  readonly #report: (line: string) => void;

  /** @param report Told of each step before it is taken. */
  constructor(world: World, seed: number, report: (line: string) => void) {
    this.#world = world;
    this.#schedule = new Schedule(seededRandom(seed), world.hasServices);
    this.#operations = new Operations(world, this.#model);
    // Its choices depend on what runs, so they must not change the schedule.
    this.#faults = new Faults(world, this.#model, seededRandom(seed + 1));
    this.#report = report;
  }

  /** Takes steps for a time. @throws AssertionError after the step that has broken something */
  async steps(forMs: number, mayKillNode: boolean): Promise<void> {
    const endMs = performance.now() + forMs;
    while (performance.now() < endMs) {
      const step = this.#schedule.next(mayKillNode);
      this.#report(describeStep(step));
      await this.#take(step);
      assert.deepEqual(await settle(this.#world, this.#model), []);
    }
  }

  async #take(step: Step): Promise<void> {
    if (step.do !== "fault") return await this.#operations.run(step, false);
    // A fault that takes long must not look like a failed operation.
    const during = step.during.map((operation) => this.#operations.run(operation, true));
    const settled = Promise.allSettled(during);
    await delay(step.afterMs);
    await this.#faults.run(step.fault, step.lastsMs);
    for (const result of await settled) if (result.status === "rejected") throw result.reason;
  }

  /** Stops everything. @returns what the idle node holds */
  async rest(): Promise<Usage> {
    this.#report("stop everything");
    for (let round = 0; this.#stoppable.length > 0; round++) {
      assert.ok(round < stopRoundsMax, `can't be stopped: ${this.#stoppable.join(", ")}`);
      for (const name of this.#stoppable) await this.#operations.run({ do: "stop", name }, true);
      assert.deepEqual(await settle(this.#world, this.#model), []);
    }
    this.#schedule.clear();
    const { victim } = this.#world;
    await eventually(async () => (this.#world.machines().length === 0 ? true : undefined));
    this.#report("idle");
    return await idleUsage(victim.pid ?? 0);
  }

  /** Names of workloads that may run; a deploy that nobody answered may still start. */
  get #stoppable(): string[] {
    const live = this.#model.live.filter(({ belief }) => belief !== "unknown");
    return live.map(({ plan }) => plan.name);
  }
}
