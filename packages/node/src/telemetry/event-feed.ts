/** Facts as events on NATS. */
import { randomUUID } from "node:crypto";
import type { CallFailure } from "@nexengine/protocol/agent";
import { type EventType, encodeEvent } from "@nexengine/protocol/messages";
import { eventSubject, systemNamespace } from "@nexengine/protocol/subjects";
import type { FactHandlers, Listener, ReportedWorkload } from "./facts.ts";
import type { Outlet } from "./outlet.ts";

/** Maximum number of events of calls, and of given up messages, per workload and second. The next event counts the others. */
const callEventsPerSecondMax = 10;

type Data = Readonly<Record<string, unknown>>;

export class EventFeed implements Listener {
  readonly facts: FactHandlers;
  readonly #outlet: Outlet;
  readonly #nodeId: string;
  readonly #calls = new Map<string, { second: number; sent: number; suppressed: number }>();

  constructor(outlet: Outlet, nodeId: string) {
    this.#outlet = outlet;
    this.#nodeId = nodeId;
    this.facts = {
      node_started: ({ version, tags }) => this.#node("node_started", { version, id: nodeId, tags }),
      heartbeat: ({ status }) => this.#node("heartbeat", status),
      node_stopped: ({ graceful }) => this.#node("node_stopped", { id: nodeId, graceful }),
      node_entered_lameduck: ({ version, drain }) => {
        const by = drain === undefined ? {} : { operator: drain.operator, deadline_ms: drain.deadlineMs };
        this.#node("node_entered_lameduck", { version, id: nodeId, ...by });
      },
      lameduck_refused: ({ code, reason }) => this.#node("lameduck_refused", { code, reason }),
      deploy_refused: (refusal) => this.#refusal("deploy_refused", refusal),
      stop_refused: (refusal) => this.#refusal("stop_refused", refusal),
      workload_deployed: ({ workload }) =>
        this.#workload("workload_deployed", workload, { workload_name: workload.name, code: 0 }),
      workload_adopted: ({ workload, adopted, replicas }) =>
        this.#workload("workload_adopted", workload, { workload_name: workload.name, adopted, replicas }),
      restore_refused: ({ workloadId, namespace, code, reason }) => {
        const data = { code, reason, vmid: workloadId };
        this.#publish(namespace, { type: "deploy_refused", source: this.#nodeId, namespace, data });
      },
      workload_restarting: ({ workload, reason, delayMs }) => {
        const data = { workload_name: workload.name, reason, delay_ms: delayMs };
        this.#workload("workload_restarting", workload, data);
      },
      workload_unhealthy: ({ workload, reason }) =>
        this.#workload("workload_unhealthy", workload, { workload_name: workload.name, reason }),
      workload_healthy: ({ workload }) =>
        this.#workload("workload_healthy", workload, { workload_name: workload.name }),
      trigger_failed: ({ workload, trigger, reason }) =>
        this.#workload("trigger_failed", workload, { workload_name: workload.name, trigger, reason }),
      trigger_recovered: ({ workload, trigger }) =>
        this.#workload("trigger_recovered", workload, { workload_name: workload.name, trigger }),
      job_ended: ({ workload, trigger, code, reason, runMs }) => {
        const data = { workload_name: workload.name, trigger, code, reason, run_ms: runMs };
        this.#workload("job_ended", workload, data);
      },
      message_dead: ({ workload, trigger, stream, sequence, reason, isKept }) => {
        const data = { trigger, stream, sequence, reason, kept: isKept };
        if (this.#isDue(deadKey(workload.id)))
          this.#counted("message_dead", workload, deadKey(workload.id), data);
      },
      workload_undeployed: ({ workload, code, reason }) =>
        this.#workload("workload_undeployed", workload, {
          workload_name: workload.name,
          name: workload.name,
          code,
          message: `Exited workload: ${workload.name}; vm: ${workload.id}; ${reason}`,
          reason,
          vmid: workload.id,
        }),
    };
  }

  /** An event of the node itself. */
  #node(type: EventType, data: Data): void {
    this.#publish(systemNamespace, { type, source: this.#nodeId, data });
  }

  #workload(type: EventType, { id, namespace }: ReportedWorkload, data: Data): void {
    this.#publish(namespace, { type, source: `${this.#nodeId}-${id}`, namespace, data });
  }

  /** An event about a request that did not become a workload. */
  #refusal(
    type: EventType,
    { namespace, code, reason }: { namespace: string; code: string; reason: string },
  ): void {
    // An invalid namespace has no subject for its events.
    if (code === "namespace_invalid") return;
    this.#publish(namespace, { type, source: this.#nodeId, namespace, data: { code, reason } });
  }

  callSucceeded(workload: ReportedWorkload, triggerSubject: string, runNs: number): void {
    if (!this.#isDue(workload.id)) return;
    const data = { trigger_subject: triggerSubject, elapsed_nanos: runNs };
    this.#counted("function_exec_succeeded", workload, workload.id, data);
  }

  callFailed(workload: ReportedWorkload, triggerSubject: string, { text, code }: CallFailure): void {
    if (!this.#isDue(workload.id)) return;
    const data = { trigger_subject: triggerSubject, error: text, code };
    this.#counted("function_exec_failed", workload, workload.id, data);
  }

  /**
   * Whether something that happens often can have an event now. Calls of a busy function have few events, because an event costs more than a call.
   * Calls without one are counted in the next event.
   */
  #isDue(key: string): boolean {
    const second = Math.floor(performance.now() / 1_000);
    let count = this.#calls.get(key);
    if (count === undefined) {
      count = { second, sent: 0, suppressed: 0 };
      this.#calls.set(key, count);
    }
    if (count.second !== second) {
      count.second = second;
      count.sent = 0;
    }
    if (count.sent < callEventsPerSecondMax) {
      count.sent++;
      return true;
    }
    count.suppressed++;
    return false;
  }

  #counted(type: EventType, workload: ReportedWorkload, key: string, data: Data): void {
    const count = this.#calls.get(key);
    const suppressed = count?.suppressed ?? 0;
    if (count !== undefined) count.suppressed = 0;
    this.#publish(workload.namespace, {
      type,
      source: this.#nodeId,
      namespace: workload.namespace,
      data: {
        workload_name: workload.name,
        ...data,
        namespace: workload.namespace,
        ...(suppressed > 0 ? { suppressed } : {}),
      },
    });
  }

  forget(workloadId: string): void {
    this.#calls.delete(workloadId);
    this.#calls.delete(deadKey(workloadId));
  }

  #publish(
    namespace: string,
    event: { type: EventType; source: string; data: Data; namespace?: string },
  ): void {
    const bytes = encodeEvent({ id: randomUUID(), timeMs: Date.now(), ...event });
    this.#outlet.publish(eventSubject(namespace, event.type), bytes);
  }
}

/** Given up messages are counted apart from calls. */
function deadKey(workloadId: string): string {
  return `${workloadId}/dead`;
}
