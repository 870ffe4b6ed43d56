/** The facts that a node tells about itself and its workloads. */
import type { CallFailure } from "@nexengine/protocol/agent";
import type { LogLevel } from "@nexengine/protocol/messages";

/** The workload that a fact is about. */
export interface ReportedWorkload {
  readonly id: string;
  readonly namespace: string;
  readonly name: string;
  /** Its own limit of log output; the node's when absent. */
  readonly logBytesPerSecond?: number | undefined;
}

/** A refused request. */
interface Refusal {
  code: string;
  reason: string;
}

/** An operator's request to end the node. */
interface DrainRequest {
  operator: string;
  deadlineMs: number;
}

/** Facts by type. Facts about calls are separate, because there are too many for an object each. */
interface Facts {
  node_started: { nodeId: string; version: string; tags: Readonly<Record<string, string>> };
  /** `status` has members of a PING response. */
  heartbeat: { status: Readonly<Record<string, unknown>> };
  node_stopped: { nodeId: string; graceful: boolean };
  node_entered_lameduck: { nodeId: string; version: string; drain: DrainRequest | undefined };
  /** An operator ends the node. It may be in lame duck mode already. */
  node_drains: DrainRequest;
  lameduck_refused: Refusal;
  deploy_accepted: { namespace: string; name: string; workloadType: string; issuer: string };
  deploy_refused: Refusal & { namespace: string };
  stop_accepted: { workload: ReportedWorkload; issuer: string };
  stop_refused: Refusal & { namespace: string };
  autostart_refused: Refusal & { namespace: string; name: string };
  workload_deployed: { workload: ReportedWorkload };
  /** A workload of an earlier node goes on, on some of its machines or on new ones. */
  workload_adopted: { workload: ReportedWorkload; adopted: number; replicas: number };
  /** A workload of an earlier node does not run any more. */
  restore_refused: Refusal & { workloadId: string; namespace: string };
  workload_restarting: { workload: ReportedWorkload; reason: string; delayMs: number };
  /** A machine failed its health check too often, and is replaced or ends the workload. */
  workload_unhealthy: { workload: ReportedWorkload; reason: string };
  /** All machines of a workload that was unhealthy pass their health check again. */
  workload_healthy: { workload: ReportedWorkload };
  workload_disconnected: { workload: ReportedWorkload; reason: string };
  workload_undeployed: { workload: ReportedWorkload; code: number; reason: string };
  /** NATS refuses the subscription of a trigger that was active; it is tried again. */
  trigger_refused: { workload: ReportedWorkload; subject: string };
  trigger_back: { workload: ReportedWorkload; subject: string };
  /** A trigger on stored messages does not fire. */
  trigger_failed: { workload: ReportedWorkload; trigger: string; reason: string };
  trigger_recovered: { workload: ReportedWorkload; trigger: string };
  /** A service that a schedule has started has ended. */
  job_ended: { workload: ReportedWorkload; trigger: string; code: number; reason: string; runMs: number };
  /** A message was given up. */
  message_dead: {
    workload: ReportedWorkload;
    trigger: string;
    stream: string;
    sequence: number;
    reason: string;
    /** Whether there is a dead letter. */
    isKept: boolean;
  };
  /** Something that an ended workload held was not released. */
  workload_not_released: { workload: ReportedWorkload; reason: string };
  /** A replaced workload did not stop. */
  replaced_not_stopped: { workloadId: string; reason: string };
  /** A reply was not sent, because its subject is not allowed. Told once per workload. */
  reply_denied: { workload: ReportedWorkload; subject: string };
}

type FactType = keyof Facts;
export type Fact = { [Type in FactType]: { type: Type } & Facts[Type] }[FactType];

/** Handlers of facts by type. */
export type FactHandlers = { readonly [Type in FactType]?: (fact: Facts[Type]) => void };

/** Hears what the reporter tells, and ignores what it has no member for. */
export interface Listener {
  readonly facts?: FactHandlers;
  /**
   * Runs for every call, so it gets no object.
   *
   * @param runNs Run time of the function's code.
   * @param queueNs Time in the queue.
   */
  callSucceeded?(workload: ReportedWorkload, triggerSubject: string, runNs: number, queueNs: number): void;
  callFailed?(workload: ReportedWorkload, triggerSubject: string, failure: CallFailure, runNs: number): void;
  /** A line of the workload's output, or of its machine about it. */
  line?(workload: ReportedWorkload, level: LogLevel, text: string): void;
  /** The workload is gone. What the listener holds of it can be dropped. */
  forget?(workloadId: string): void;
}
