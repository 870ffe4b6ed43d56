/** All triggers of one function. */
import { NexError } from "@nexengine/protocol/errors";
import { describeTrigger } from "@nexengine/protocol/messages";
import { functionQueueGroup, printable } from "@nexengine/protocol/subjects";
import { subscribePermitted } from "../connections/denied-subscriptions.ts";
import { type DiscoveredEndpoint, type DiscoveredFunction, discoveryOf } from "./service-discovery.ts";
import { makeTrigger, type TriggerParts } from "./triggers/make-trigger.ts";
import { DeadLetterRetries } from "./triggers/pulled/dead-letter-retries.ts";
import type { Trigger, TriggerHealth, TriggerSpec } from "./triggers/trigger.ts";

/** A trigger with what it reports about itself. */
export interface TriggerStatus {
  spec: TriggerSpec;
  health: TriggerHealth;
}

const storedTypes: ReadonlySet<string> = new Set(["stream", "kv", "object", "cron"]);

/** Parts of the triggers, and what others may discover of their function. */
export type TriggerSetParts = TriggerParts & {
  owner: Pick<DiscoveredFunction, "nodeId" | "type" | "sha256">;
};

export class TriggerSet {
  readonly #parts: TriggerSetParts;
  readonly #triggers: readonly Trigger[];
  readonly #paused: Set<string>;
  /** Absent without triggers whose messages are settled. */
  readonly #retries: DeadLetterRetries | undefined;
  #unlist: (() => void) | undefined;

  /** @param paused Names of triggers that stay paused after their start. */
  constructor(specs: readonly TriggerSpec[], paused: readonly string[], parts: TriggerSetParts) {
    this.#parts = parts;
    this.#triggers = specs.map((spec, index) => makeTrigger(spec, index, parts));
    this.#paused = new Set(paused);
    const hasDeadLetters = specs.some(({ type }) => storedTypes.has(type));
    this.#retries = hasDeadLetters ? new DeadLetterRetries(specs, parts) : undefined;
  }

  /** In the order of the deploy. */
  get statuses(): TriggerStatus[] {
    return this.#triggers.map(({ spec, health }) => ({ spec, health }));
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
   * @param isRestored Whether the function has run before. Then a trigger may become ready later.
   * @throws NexError `trigger_denied`, `trigger_source_missing`, `trigger_failed`, `route_taken`
   */
  async start(isRestored: boolean): Promise<void> {
    const { http, nats } = this.#parts;
    if (!isRestored) await http.claim();
    const subjects = this.#triggers.flatMap(({ spec }) => (spec.type === "subject" ? spec.subject : []));
    if (http.subject !== undefined) subjects.push(http.subject);
    this.#retries?.start();
    await subscribePermitted(nats, subjects, async () => {
      await Promise.all(this.#triggers.map((trigger) => this.#startOne(trigger, isRestored)));
    });
    this.#unlist ??= discoveryOf(this.#parts.nats).add(this.#discovered());
  }

  #discovered(): DiscoveredFunction {
    const { owner, replies } = this.#parts;
    const endpoints = (): DiscoveredEndpoint[] => this.#endpoints();
    return {
      ...owner,
      startedAtMs: owner.deployedAtMs,
      replies,
      get endpoints() {
        return endpoints();
      },
    };
  }

  #endpoints(): DiscoveredEndpoint[] {
    const queueGroup = functionQueueGroup(this.#parts.owner.namespace, this.#parts.owner.name);
    return this.#triggers.flatMap(({ spec, callStats }) => {
      if (spec.type !== "subject" || callStats === undefined) return [];
      return [{ name: spec.name, subject: spec.subject, queueGroup, ...callStats }];
    });
  }

  async #startOne(trigger: Trigger, isRestored: boolean): Promise<void> {
    await trigger.start(isRestored);
    if (this.#paused.has(trigger.spec.name)) await trigger.pause();
  }

  /** Pauses a trigger, or lets it go on. @throws NexError `no_such_trigger` */
  async setPaused(name: string, isPaused: boolean): Promise<void> {
    const trigger = this.#triggers.find(({ spec }) => spec.name === name);
    if (trigger === undefined) {
      const names = this.#triggers.map(({ spec }) => spec.name).join(", ");
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
    this.#unlist?.();
    this.#unlist = undefined;
    this.#retries?.stop();
    await Promise.all(this.#triggers.map((trigger) => trigger.stop().catch(() => undefined)));
  }

  /** Ends what the triggers have made for themselves, where no other copy needs it. For a workload that ends for good. */
  async retire(): Promise<void> {
    await Promise.all(this.#triggers.map((trigger) => trigger.retire?.().catch(() => undefined)));
  }
}
