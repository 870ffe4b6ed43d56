/** Triggers of one workload, with what is paused. */
import { NexError } from "@nexengine/protocol/errors";
import { describeTrigger } from "@nexengine/protocol/messages";
import { printable } from "@nexengine/protocol/subjects";
import type { Trigger, TriggerHealth, TriggerSpec } from "./triggers/trigger.ts";

/** A trigger with what it reports about itself. */
export interface TriggerStatus {
  spec: TriggerSpec;
  health: TriggerHealth;
}

export class TriggerList {
  protected readonly triggers: readonly Trigger[];
  readonly #paused: Set<string>;

  /** @param paused Names of triggers that stay paused after their start. */
  constructor(triggers: readonly Trigger[], paused: readonly string[]) {
    this.triggers = triggers;
    this.#paused = new Set(paused);
  }

  /** In the order of the deploy. */
  get statuses(): TriggerStatus[] {
    return this.triggers.map(({ spec, health }) => ({ spec, health }));
  }

  /** Why one does not fire; `undefined` when all do. */
  get problem(): string | undefined {
    const found = this.statuses.find(({ health }) => health.problem !== undefined);
    return found && `trigger ${found.spec.name} (${describeTrigger(found.spec)}): ${found.health.problem}`;
  }

  /** Names of those that are paused. */
  get paused(): string[] {
    return [...this.#paused];
  }

  /**
   * Starts all.
   *
   * @param isRestored Whether the workload has run before. Then a trigger may become ready later.
   * @throws NexError `trigger_denied`, `trigger_source_missing`, `trigger_failed`
   */
  async start(isRestored: boolean): Promise<void> {
    await Promise.all(this.triggers.map((trigger) => this.#startOne(trigger, isRestored)));
  }

  async #startOne(trigger: Trigger, isRestored: boolean): Promise<void> {
    await trigger.start(isRestored);
    if (this.#paused.has(trigger.spec.name)) await trigger.pause();
  }

  /** Pauses a trigger, or lets it go on. @throws NexError `no_such_trigger` */
  async setPaused(name: string, isPaused: boolean): Promise<void> {
    const trigger = this.triggers.find(({ spec }) => spec.name === name);
    if (trigger === undefined) {
      const names = this.triggers.map(({ spec }) => spec.name).join(", ");
      throw new NexError("no_such_trigger", `There is no trigger "${printable(name)}"`, {
        advice: `Name one of: ${names}`,
      });
    }
    if (isPaused) {
      this.#paused.add(name);
      await trigger.pause();
    } else {
      this.#paused.delete(name);
      await trigger.resume();
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.triggers.map((trigger) => trigger.stop().catch(() => undefined)));
  }

  /** Ends what the triggers have made for themselves, where no other copy needs it. For a workload that ends for good. */
  async retire(): Promise<void> {
    await Promise.all(this.triggers.map((trigger) => trigger.retire?.().catch(() => undefined)));
  }
}
