/** Does what clients do, and notes in the model how they were answered. */
import assert from "node:assert/strict";
import { NexError } from "@nexengine/protocol";
import type { Expected, Model } from "./model.ts";
import type { Operation, Plan } from "./schedule.ts";
import { newMark, type World } from "./world.ts";

/** Errors that say nothing of what the node has done. */
const silences: ReadonlySet<string> = new Set([
  ...["node_silent", "timeout", "node_not_found", "connection_failed", "internal"],
]);

export class Operations {
  readonly #world: World;
  readonly #model: Model;

  constructor(world: World, model: Model) {
    this.#world = world;
    this.#model = model;
  }

  /**
   * @param isDisturbed Whether a fault happens meanwhile, so that it may fail.
   * @throws AssertionError when it fails and nothing is wrong, or succeeds and must not
   */
  async run(operation: Operation, isDisturbed: boolean): Promise<void> {
    switch (operation.do) {
      case "deploy":
        return await this.#deploy(operation.plan, operation.replaces, isDisturbed);
      case "stop":
        return await this.#stop(operation.name, isDisturbed);
      case "stop as somebody else":
        return await this.#stopAsSomebodyElse(operation.name, isDisturbed);
      default:
        return this.#call(operation.name, operation.messages);
    }
  }

  async #deploy(plan: Plan, replacedName: string | undefined, isDisturbed: boolean): Promise<void> {
    const replaced = replacedName === undefined ? undefined : this.#model.running(replacedName);
    const expected = this.#model.asked(plan, newMark(), replaced?.plan.name);
    if (replaced !== undefined) replaced.belief = "ending";
    try {
      const { id, replaced: endedId } = await this.#world.deploy(plan, expected.mark, replaced?.id);
      expected.id = id;
      expected.belief = "running";
      if (replaced !== undefined) replaced.belief = endedId === replaced.id ? "gone" : "running";
    } catch (error) {
      if (!isDisturbed) throw error;
      if (!isSilence(error)) {
        expected.belief = "gone";
        if (replaced !== undefined) replaced.belief = "running";
      }
    }
  }

  async #stop(name: string, isDisturbed: boolean): Promise<void> {
    const expected = this.#model.stoppable(name);
    if (expected?.id === undefined) return;
    expected.belief = "ending";
    try {
      await this.#world.stop(expected.plan, expected.id, expected.plan.issuer);
      expected.belief = "gone";
    } catch (error) {
      if (hasEnded(expected, error)) expected.belief = "gone";
      else if (!isDisturbed) throw error;
      else if (!isSilence(error)) expected.belief = "running";
    }
  }

  async #stopAsSomebodyElse(name: string, isDisturbed: boolean): Promise<void> {
    const expected = this.#model.running(name);
    if (expected?.id === undefined) return;
    const { plan, id } = expected;
    const code = await this.#world.stop(plan, id, plan.issuer === 0 ? 1 : 0).then(
      () => undefined,
      (error: NexError) => error.code,
    );
    assert.notEqual(code, undefined, `${name} was stopped by somebody else`);
    const isEnded = expected.mayHaveEnded && code === "no_such_workload";
    if (!isDisturbed && !isEnded) assert.equal(code, "stop_issuer_mismatch");
  }

  #call(name: string, messages: number): void {
    if (this.#model.running(name) === undefined) return;
    for (let at = 0; at < messages; at++) this.#world.messages.send(name);
  }
}

function isSilence(error: unknown): boolean {
  return !(error instanceof NexError) || silences.has(error.code);
}

/** A service that is not essential ends with its machine. */
function hasEnded({ mayHaveEnded }: Expected, error: unknown): boolean {
  return mayHaveEnded && error instanceof NexError && error.code === "no_such_workload";
}
