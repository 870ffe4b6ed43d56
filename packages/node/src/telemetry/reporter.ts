/** The one place where the node tells what happens. Events, logs and counters are listeners. */
import type { CallFailure } from "@nexengine/protocol/agent";
import type { LogLevel } from "@nexengine/protocol/messages";
import type { Fact, Listener, ReportedWorkload } from "./facts.ts";

export class Reporter {
  readonly #listeners: readonly Listener[];

  /** @param listeners Told in this order. A listener must not throw. */
  constructor(listeners: readonly Listener[]) {
    this.#listeners = listeners;
  }

  /** Tells a fact. */
  tell(fact: Fact): void {
    for (const { facts } of this.#listeners) {
      (facts?.[fact.type] as ((fact: Fact) => void) | undefined)?.(fact);
    }
  }

  callSucceeded(workload: ReportedWorkload, triggerSubject: string, runNs: number, queueNs: number): void {
    for (const listener of this.#listeners)
      listener.callSucceeded?.(workload, triggerSubject, runNs, queueNs);
  }

  callFailed(workload: ReportedWorkload, triggerSubject: string, failure: CallFailure, runNs: number): void {
    for (const listener of this.#listeners) listener.callFailed?.(workload, triggerSubject, failure, runNs);
  }

  /** Tells a line of a workload's output. */
  line(workload: ReportedWorkload, level: LogLevel, text: string): void {
    for (const listener of this.#listeners) listener.line?.(workload, level, text);
  }

  forget(workloadId: string): void {
    for (const listener of this.#listeners) listener.forget?.(workloadId);
  }
}
