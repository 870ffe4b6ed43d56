/** All triggers of one function. */
import { functionQueueGroup } from "@nexengine/protocol/subjects";
import { subscribePermitted } from "../connections/denied-subscriptions.ts";
import { type DiscoveredEndpoint, type DiscoveredFunction, discoveryOf } from "./service-discovery.ts";
import { TriggerList } from "./trigger-list.ts";
import { makeTrigger, type TriggerParts } from "./triggers/make-trigger.ts";
import { DeadLetterRetries } from "./triggers/pulled/dead-letter-retries.ts";
import type { TriggerSpec } from "./triggers/trigger.ts";

const storedTypes: ReadonlySet<string> = new Set(["stream", "kv", "object", "cron"]);

/** Parts of the triggers, and what others may discover of their function. */
export type TriggerSetParts = TriggerParts & {
  owner: Pick<DiscoveredFunction, "nodeId" | "type" | "sha256">;
};

export class TriggerSet extends TriggerList {
  readonly #parts: TriggerSetParts;
  /** Absent without triggers whose messages are settled. */
  readonly #retries: DeadLetterRetries | undefined;
  #unlist: (() => void) | undefined;

  /** @param paused Names of triggers that stay paused after their start. */
  constructor(specs: readonly TriggerSpec[], paused: readonly string[], parts: TriggerSetParts) {
    super(
      specs.map((spec, index) => makeTrigger(spec, index, parts)),
      paused,
    );
    this.#parts = parts;
    const hasDeadLetters = specs.some(({ type }) => storedTypes.has(type));
    this.#retries = hasDeadLetters ? new DeadLetterRetries(specs, parts) : undefined;
  }

  /**
   * Starts all.
   *
   * @param isRestored Whether the function has run before. Then a trigger may become ready later.
   * @throws NexError `trigger_denied`, `trigger_source_missing`, `trigger_failed`, `route_taken`
   */
  override async start(isRestored: boolean): Promise<void> {
    const { http, nats } = this.#parts;
    if (!isRestored) await http.claim();
    const subjects = this.triggers.flatMap(({ spec }) => (spec.type === "subject" ? spec.subject : []));
    if (http.subject !== undefined) subjects.push(http.subject);
    this.#retries?.start();
    await subscribePermitted(nats, subjects, async () => {
      await super.start(isRestored);
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
    return this.triggers.flatMap(({ spec, callStats }) => {
      if (spec.type !== "subject" || callStats === undefined) return [];
      return [{ name: spec.name, subject: spec.subject, queueGroup, ...callStats }];
    });
  }

  override async stop(): Promise<void> {
    this.#unlist?.();
    this.#unlist = undefined;
    this.#retries?.stop();
    await super.stop();
  }
}
