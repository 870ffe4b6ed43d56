/** Health of all machines of a workload. */
import type { Share } from "../budget/quota.ts";
import type { Machine, MachineEvents } from "../machines/machine.ts";
import type { ReportedWorkload } from "../telemetry/facts.ts";
import type { Reporter } from "../telemetry/reporter.ts";
import { type Check, type HealthTimes, MachineHealth } from "./machine-health.ts";

/** How to check a machine, as admitted. */
export interface HealthSpec extends HealthTimes {
  check: { type: "subject"; subject: string } | { type: "tcp"; port: number };
}

/** Parts that the health of a workload uses. */
export interface WorkloadHealthOptions {
  workload: ReportedWorkload;
  times: HealthTimes;
  /** Number of its machines. */
  replicas: number;
  checkOf(machine: Machine): Check;
  /** The workload's share of the checks that the node carries out at once. It is closed with the checks. */
  slots: Share;
  reporter: Reporter;
}

/** A machine whose health is followed. */
interface FollowedMachine {
  /** The events that the machine gets. */
  events: MachineEvents;
  /** Waits until it passes its first check. @throws NexError `workload_not_ready` */
  ready(): Promise<void>;
}

/** Maximum time until the first check of a machine of an earlier node. It spreads their checks. */
const adoptedDelayMsMax = 1_000;

export class WorkloadHealth {
  readonly #options: WorkloadHealthOptions;
  readonly #machines = new Map<Machine, MachineHealth>();
  /** Whether it was told that the workload is unhealthy. */
  #isToldUnhealthy = false;
  #isOver = false;

  constructor(options: WorkloadHealthOptions) {
    this.#options = options;
  }

  /** Whether every machine runs and is healthy. */
  get isHealthy(): boolean {
    const healthy = [...this.#machines.values()].filter((machine) => machine.isHealthy);
    return healthy.length >= this.#options.replicas;
  }

  /** Failures of a machine that is not replaced yet, for people. */
  get trouble(): string | undefined {
    for (const { trouble } of this.#machines.values()) if (trouble !== undefined) return trouble;
    return undefined;
  }

  /** Follows a machine that is about to start. */
  follow(machine: Machine, events: MachineEvents): FollowedMachine {
    const health = this.#healthOf(machine, events);
    this.#machines.set(machine, health);
    const followed: MachineEvents = {
      ...events,
      exited: (exit) => {
        this.forget(machine, `it ended with status ${exit.code ?? -1} before its health check passed`);
        events.exited(exit);
      },
      lost: (why) => {
        this.forget(machine, `its machine was lost before its health check passed: ${why}`);
        events.lost(why);
      },
    };
    return { events: followed, ready: () => health.ready() };
  }

  /** Follows a machine of an earlier node, which has been ready there. @returns the events that the machine gets */
  adopt(machine: Machine, events: MachineEvents): MachineEvents {
    const { events: followed } = this.follow(machine, events);
    const { intervalMs } = this.#options.times;
    this.#machines.get(machine)?.watch(Math.random() * Math.min(intervalMs, adoptedDelayMsMax));
    return followed;
  }

  #healthOf(machine: Machine, events: MachineEvents): MachineHealth {
    const { workload, times, checkOf, slots, reporter } = this.#options;
    const health = new MachineHealth(times, checkOf(machine), slots, {
      passed: () => {
        if (!this.#isToldUnhealthy || !this.isHealthy) return;
        this.#isToldUnhealthy = false;
        reporter.tell({ type: "workload_healthy", workload });
      },
      unhealthy: (reason) => {
        this.#isToldUnhealthy = true;
        reporter.tell({ type: "workload_unhealthy", workload, reason });
        this.forget(machine, reason);
        events.lost(reason);
      },
    });
    if (this.#isOver) health.end("it was stopped");
    return health;
  }

  /** Ends the checks of a machine. @param why For whoever waits until it is ready. */
  forget(machine: Machine, why: string): void {
    this.#machines.get(machine)?.end(why);
    this.#machines.delete(machine);
  }

  /** Ends all checks. Idempotent. */
  stop(): void {
    this.#isOver = true;
    for (const health of this.#machines.values()) health.end("it was stopped before its health check passed");
    this.#options.slots.close();
  }
}
