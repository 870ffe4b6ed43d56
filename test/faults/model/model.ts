/** The state that workloads must have, by the answers of the node and the faults so far. */
import type { Plan } from "./schedule.ts";

/**
 * - `unknown`: the deploy was asked for and not answered. It may run, or start later.
 * - `running`: it was accepted, or has been seen. It runs until its issuer stops it.
 * - `ending`: its stop was asked for and not answered. It may run until it has been seen to be gone.
 * - `gone`: it was refused or stopped, or has ended. It never runs again.
 */
type Belief = "unknown" | "running" | "ending" | "gone";

export interface Expected {
  readonly plan: Plan;
  /** Word in the command line of a service. */
  readonly mark: string;
  belief: Belief;
  id?: string;
  /** Set when a machine of it was killed: a service that is not essential may have ended by that. */
  mayHaveEnded: boolean;
  /** Name of the workload that it replaces, while nobody has answered. */
  replaces?: string;
}

export class Model {
  readonly workloads = new Map<string, Expected>();

  /** Workloads that may run. */
  get live(): Expected[] {
    return [...this.workloads.values()].filter(({ belief }) => belief !== "gone");
  }

  /** One that surely runs. */
  running(name: string): Expected | undefined {
    const found = this.workloads.get(name);
    return found?.belief === "running" ? found : undefined;
  }

  /** One that runs, or whose stop may have been lost. */
  stoppable(name: string): Expected | undefined {
    const found = this.workloads.get(name);
    return found?.belief === "running" || found?.belief === "ending" ? found : undefined;
  }

  asked(plan: Plan, mark: string, replaces: string | undefined): Expected {
    const expected: Expected = { plan, mark, belief: "unknown", mayHaveEnded: false };
    if (replaces !== undefined) expected.replaces = replaces;
    this.workloads.set(plan.name, expected);
    return expected;
  }

  /** One of its machines was killed. */
  machineKilled(id: string): void {
    for (const expected of this.workloads.values()) if (expected.id === id) expected.mayHaveEnded = true;
  }
}
