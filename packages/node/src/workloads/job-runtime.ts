/** The half of a workload that is a job: schedules, and the machines that they start. */
import type { NatsConnection } from "@nats-io/nats-core";
import { settlesWithin } from "@nexengine/machines/internal";
import type { FunctionServices } from "../functions/function-runtime.ts";
import { TriggerList } from "../functions/trigger-list.ts";
import { triggerConnectionOf } from "../functions/triggers/connection-of.ts";
import { CronSource } from "../functions/triggers/pulled/cron-source.ts";
import { DeadLetterRetries } from "../functions/triggers/pulled/dead-letter-retries.ts";
import { PulledTrigger } from "../functions/triggers/pulled/pulled-trigger.ts";
import type { CallReport } from "../functions/triggers/subject-trigger.ts";
import type { TriggerSpec } from "../functions/triggers/trigger.ts";
import type { ReportedWorkload } from "../telemetry/facts.ts";
import { type JobHost, Jobs } from "./jobs.ts";

/** Time for ending schedules on the server. */
const retireMs = 2_000;

/** Options for running jobs. */
export interface JobRuntimeOptions extends Omit<JobHost, "log" | "ended"> {
  owner: ReportedWorkload;
  pausedTriggers: readonly string[];
  deployedAtMs: number;
  connection: NatsConnection;
  isOwnConnection: boolean;
  services: FunctionServices;
}

export class JobRuntime {
  readonly triggers: TriggerList;
  readonly #jobs: Jobs;
  readonly #retries: DeadLetterRetries;
  readonly #closeHeld: () => void;

  constructor(options: JobRuntimeOptions) {
    const { owner, triggers: specs, services, connection, isOwnConnection, deployedAtMs } = options;
    const { reporter, budget } = services;
    this.#jobs = new Jobs({
      ...options,
      log: (level, text) => reporter.line(owner, level, text),
      ended: (end) => reporter.tell({ type: "job_ended", workload: owner, ...end }),
    });
    const held = budget.heldBytes.share();
    this.#closeHeld = () => held.close();
    const { id, namespace, name } = owner;
    const parts = {
      owner: { id, namespace, name, deployedAtMs },
      nats: connection,
      connection: triggerConnectionOf(connection),
      calls: this.#jobs,
      replies: services.replyRulesOf(namespace, isOwnConnection),
      rules: services.streamRulesOf(owner, isOwnConnection),
      report: reportOf(owner, services),
      held,
    };
    const triggers = specs.flatMap((spec, index) =>
      spec.type === "cron"
        ? new PulledTrigger(spec, index, new CronSource(spec, parts.owner, connection), parts)
        : [],
    );
    this.triggers = new TriggerList(triggers, options.pausedTriggers);
    this.#retries = new DeadLetterRetries(specs, parts);
  }

  /** Number of jobs that run. */
  get size(): number {
    return this.#jobs.size;
  }

  /** @throws NexError `trigger_failed` */
  async start(isRestored: boolean): Promise<void> {
    this.#retries.start();
    await this.triggers.start(isRestored);
  }

  /** Takes no more ticks, and waits for the jobs that run. */
  async drain(): Promise<void> {
    this.#retries.stop();
    await this.triggers.stop();
    await this.#jobs.idle();
  }

  /**
   * Stops the jobs; their ticks are given back.
   *
   * @param isForGood Whether no other node continues the workload.
   */
  async stop(graceMs: number, isForGood: boolean): Promise<void> {
    this.#retries.stop();
    await this.triggers.stop();
    await this.#jobs.close(graceMs);
    this.#closeHeld();
    if (isForGood) await settlesWithin(this.triggers.retire(), retireMs);
  }
}

/** The ends of jobs are told by themselves; the rest as for functions. */
function reportOf(workload: ReportedWorkload, { reporter }: FunctionServices): CallReport {
  return {
    succeeded: () => undefined,
    failed: () => undefined,
    replyDenied: () => undefined,
    replyDropped: () => undefined,
    triggerRefused: () => undefined,
    triggerBack: () => undefined,
    triggerFailed: ({ name }: TriggerSpec, reason) =>
      reporter.tell({ type: "trigger_failed", workload, trigger: name, reason }),
    triggerRecovered: ({ name }: TriggerSpec) =>
      reporter.tell({ type: "trigger_recovered", workload, trigger: name }),
    messageDead: ({ name }: TriggerSpec, { stream, sequence }, reason, isKept) =>
      reporter.tell({ type: "message_dead", workload, trigger: name, stream, sequence, reason, isKept }),
  };
}
