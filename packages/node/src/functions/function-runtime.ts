/** The function half of a workload: triggers, calls with their counters, and host services. */
import type { NatsConnection } from "@nats-io/nats-core";
import { settlesWithin } from "@nexengine/machines/internal";
import { type CallFailure, runTickNs } from "@nexengine/protocol/agent";
import type { HostCallHandler } from "../agent-client/host-calls.ts";
import type { Budget } from "../budget/budget.ts";
import type { Share } from "../budget/quota.ts";
import type {
  HostServiceConnections,
  HostServices,
  HostServicesOptions,
} from "../host-services/host-services.ts";
import type { Owner } from "../host-services/service.ts";
import type { Machine } from "../machines/machine.ts";
import type { NodeTuning } from "../options.ts";
import type { ReportedWorkload } from "../telemetry/facts.ts";
import type { Reporter } from "../telemetry/reporter.ts";
import type { CallCounters } from "./counters.ts";
import { type Call, FunctionCalls } from "./function-calls.ts";
import { TriggerSet } from "./trigger-set.ts";
import { triggerConnectionOf } from "./triggers/connection-of.ts";
import { HttpGate } from "./triggers/http/http-trigger.ts";
import type { Delivery } from "./triggers/pulled/ack-subject.ts";
import type { ReplyRules } from "./triggers/reply-rules.ts";
import type { StreamRules } from "./triggers/stream-rules.ts";
import type { CallReport } from "./triggers/subject-trigger.ts";
import type { TriggerSpec } from "./triggers/trigger.ts";

const nsPerMs = 1e6;
/** Time for ending what triggers have made on the server. */
const retireMs = 2_000;

/** Parts of the node that functions use. */
export interface FunctionServices {
  nodeId: string;
  budget: Budget;
  reporter: Reporter;
  tuning: NodeTuning;
  /** Subjects to which a namespace's functions may reply. */
  replyRulesOf(namespace: string, isOwnConnection: boolean): ReplyRules;
  /** Streams that a namespace's triggers may use. */
  streamRulesOf(owner: Owner, isOwnConnection: boolean): StreamRules;
  /** Host services of a function. */
  hostServicesOf(
    owner: Owner,
    connections: HostServiceConnections,
    shares: Pick<HostServicesOptions, "held" | "sockets">,
  ): HostServices;
}

/** The workload of a function. */
interface FunctionOwner extends ReportedWorkload {
  readonly spec: { readonly type: string };
  /** SHA-256 of the artifact in lower-case hex. */
  readonly sha256: string;
}

/** Options for running a function. */
export interface FunctionRuntimeOptions {
  owner: FunctionOwner;
  triggers: readonly TriggerSpec[];
  /** Names of triggers that were paused on an earlier node. */
  pausedTriggers: readonly string[];
  /** Time of the deploy. A later one may change consumers that both share. */
  deployedAtMs: number;
  /** Connection for triggers and replies. */
  connection: NatsConnection;
  /** Whether it is the namespace's or the request's own, not the node's. */
  isOwnConnection: boolean;
  hostServices: HostServiceConnections;
  /** Time limit of a call; the node's default when absent. */
  callTimeMs: number | undefined;
  counters: CallCounters;
  services: FunctionServices;
  /** Called when a machine does not answer: it must be replaced. */
  abandon(machine: Machine, why: string): void;
}

export class FunctionRuntime {
  readonly #options: FunctionRuntimeOptions;
  readonly #calls: FunctionCalls;
  readonly #hostServices: HostServices;
  /** Its triggers. */
  readonly triggers: TriggerSet;
  /** For messages that wait for a place. */
  readonly #held: Share;
  #hasToldOfReply = false;

  constructor(options: FunctionRuntimeOptions) {
    const { owner, services, abandon, callTimeMs } = options;
    const { tuning, budget } = services;
    this.#options = options;
    this.#held = budget.heldBytes.share();
    this.#calls = new FunctionCalls({
      held: budget.heldBytes.share(),
      callTimeMs: callTimeMs ?? tuning.callTimeMs,
      callQueueTimeMs: tuning.callQueueTimeMs,
      callQueueMax: tuning.callQueueMax,
      deadlineGraceMs: tuning.deadlineGraceMs,
      abandon,
    });
    const shares = { held: budget.heldBytes.share(), sockets: budget.sockets.share() };
    this.#hostServices = services.hostServicesOf(owner, options.hostServices, shares);
    const parts = {
      owner: {
        id: owner.id,
        namespace: owner.namespace,
        name: owner.name,
        deployedAtMs: options.deployedAtMs,
        nodeId: services.nodeId,
        type: owner.spec.type,
        sha256: owner.sha256,
      },
      nats: options.connection,
      times: tuning,
      connection: triggerConnectionOf(options.connection),
      calls: this.#calls,
      replies: services.replyRulesOf(owner.namespace, options.isOwnConnection),
      rules: services.streamRulesOf(owner, options.isOwnConnection),
      report: this.#report(),
      held: this.#held,
    };
    const http = new HttpGate(options.triggers, parts);
    this.triggers = new TriggerSet(options.triggers, options.pausedTriggers, { ...parts, http });
  }

  /** Answers calls of host services. */
  get hostCalls(): HostCallHandler {
    return this.#hostServices.call;
  }

  /** Adds a machine that is ready for calls. */
  addMachine(machine: Machine, concurrency: number): void {
    this.#options.counters.started();
    this.#calls.addMachine(machine, concurrency);
  }

  /** Removes a machine. @param why For the callers. */
  removeMachine(machine: Machine, why: string): void {
    this.#calls.removeMachine(machine, `the function's machine ended: ${why}`);
  }

  /** Takes no more calls, and finishes those that it has. */
  async drain(): Promise<void> {
    await this.triggers.stop();
    await this.#calls.idle();
  }

  /** Takes no more calls, finishes those that it has within a time limit, and stops. */
  async finish(timeoutMs: number): Promise<void> {
    await settlesWithin(this.drain(), timeoutMs);
    await this.stop(0);
  }

  /**
   * Stops the function. Running calls have `drainMs` to finish.
   *
   * @param isForGood Whether no other node continues it.
   */
  async stop(drainMs: number, isForGood = false): Promise<void> {
    await this.triggers.stop();
    await this.#calls.close(drainMs);
    if (isForGood) await settlesWithin(this.triggers.retire(), retireMs);
    this.#held.close();
    this.#hostServices.end();
  }

  #report(): CallReport {
    const { owner, counters, services } = this.#options;
    const { reporter, budget } = services;
    return {
      succeeded: (call: Call, triggerSubject: string, runTicks: number) => {
        const runNs = runTicks * runTickNs;
        const queueNs = call.queueMs(runNs) * nsPerMs;
        counters.succeeded(runNs, queueNs);
        reporter.callSucceeded(owner, triggerSubject, runNs, queueNs);
      },
      failed: (_: Call, triggerSubject: string, failure: CallFailure, runTicks: number) => {
        const runNs = runTicks * runTickNs;
        counters.failed(failure.code, runNs);
        reporter.callFailed(owner, triggerSubject, failure, runNs);
      },
      triggerRefused: (subject: string) =>
        reporter.tell({ type: "trigger_refused", workload: owner, subject }),
      triggerBack: (subject: string) => reporter.tell({ type: "trigger_back", workload: owner, subject }),
      triggerFailed: ({ name }: TriggerSpec, reason: string) =>
        reporter.tell({ type: "trigger_failed", workload: owner, trigger: name, reason }),
      triggerRecovered: ({ name }: TriggerSpec) =>
        reporter.tell({ type: "trigger_recovered", workload: owner, trigger: name }),
      messageDead: ({ name }: TriggerSpec, delivery: Delivery, reason: string, isKept: boolean) => {
        const { stream, sequence } = delivery;
        reporter.tell({
          type: "message_dead",
          workload: owner,
          trigger: name,
          stream,
          sequence,
          reason,
          isKept,
        });
      },
      replyDropped: () => {
        budget.droppedReplies++;
      },
      replyDenied: (subject: string) => {
        if (this.#hasToldOfReply) return;
        this.#hasToldOfReply = true;
        reporter.tell({ type: "reply_denied", workload: owner, subject });
      },
    };
  }
}
