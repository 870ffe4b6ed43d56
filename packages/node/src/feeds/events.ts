/** Publishes the node's events. */
import { randomUUID } from "node:crypto";
import { type EventType, encodeEvent } from "@nexengine/protocol/messages";
import { eventSubject, systemNamespace } from "@nexengine/protocol/subjects";
import type { Outlet } from "./outlet.ts";

/** Maximum number of call events per workload and second. Further ones are counted in the next event. */
const callEventsPerSecondMax = 10;

/** The workload of an event. */
export interface EventWorkload {
  id: string;
  namespace: string;
  name: string;
}

export class Events {
  readonly #outlet: Outlet;
  readonly #nodeId: string;
  readonly #calls = new Map<string, { second: number; sent: number; suppressed: number }>();

  constructor(outlet: Outlet, nodeId: string) {
    this.#outlet = outlet;
    this.#nodeId = nodeId;
  }

  /** An event of the node itself. */
  node(type: EventType, data: Readonly<Record<string, unknown>>): void {
    this.#publish(systemNamespace, {
      type,
      source: this.#nodeId,
      data,
    });
  }

  /** An event of a workload. */
  workload(type: EventType, workload: EventWorkload, data: Readonly<Record<string, unknown>>): void {
    this.#publish(workload.namespace, {
      type,
      source: `${this.#nodeId}-${workload.id}`,
      namespace: workload.namespace,
      data,
    });
  }

  /** An event in a namespace about a request that did not become a workload. */
  refusal(type: EventType, namespace: string, data: Readonly<Record<string, unknown>>): void {
    this.#publish(namespace, { type, source: this.#nodeId, namespace, data });
  }

  /**
   * Whether a call can have an event now. Calls of a busy function have few events, because an event costs more than a call.
   * Calls without one are counted in the next event.
   */
  callIsDue({ id }: EventWorkload): boolean {
    const second = Math.floor(performance.now() / 1_000);
    let count = this.#calls.get(id);
    if (count === undefined) {
      count = { second, sent: 0, suppressed: 0 };
      this.#calls.set(id, count);
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

  /** An event of a call for which `callIsDue` was true. */
  call(type: EventType, workload: EventWorkload, data: Readonly<Record<string, unknown>>): void {
    const count = this.#calls.get(workload.id);
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

  /** Forgets the counts of a workload. */
  forget(workloadId: string): void {
    this.#calls.delete(workloadId);
  }

  #publish(
    namespace: string,
    event: { type: EventType; source: string; data: Readonly<Record<string, unknown>>; namespace?: string },
  ): void {
    const bytes = encodeEvent({ id: randomUUID(), timeMs: Date.now(), ...event });
    this.#outlet.publish(eventSubject(namespace, event.type), bytes);
  }
}
