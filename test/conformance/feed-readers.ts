/** Reads the events and the log lines of workloads that a node publishes while something is done. */
import { until } from "@nexengine/testing";
import { ping } from "./requests.ts";
import type { Target } from "./target.ts";

/** An event of a workload. */
export interface WorkloadEvent {
  type: string;
  /** The workload's. */
  id: string;
  source: string;
  namespace: string;
  data: Record<string, unknown>;
}

/**
 * The events of one type about one workload: all that have come when there is one.
 *
 * @param act Gives the workload's id.
 */
export async function eventsOf(
  target: Target,
  type: string,
  act: () => Promise<string>,
): Promise<WorkloadEvent[]> {
  const { connection } = target;
  const all: WorkloadEvent[] = [];
  const subscription = connection.subscribe(`$NEX.events.${target.namespace}.${type}`, {
    callback: (error, message) => {
      if (error !== null) return;
      const event = message.json() as Omit<WorkloadEvent, "id">;
      all.push({ ...event, id: event.source.split("-")[1] ?? "" });
    },
  });
  try {
    await connection.flush();
    const id = await act();
    await until(() => all.some((event) => event.id === id));
    // Messages published before this answer have come before it.
    await ping(target);
    return all.filter((event) => event.id === id);
  } finally {
    subscription.unsubscribe();
  }
}

/** A log line. */
export interface Line {
  subject: string;
  level: string;
  text: string;
  id: string;
}

/**
 * The log lines of the target's namespace.
 *
 * @param act Is given what waits for a line, or for as many as it says.
 */
export async function linesOf(
  target: Target,
  act: (shown: (pattern: RegExp, count?: number) => Promise<void>) => Promise<unknown>,
): Promise<Line[]> {
  const { connection, namespace, nodeId } = target;
  const lines: Line[] = [];
  const subscription = connection.subscribe(`$NEX.logs.${namespace}.${nodeId}.>`, {
    callback: (error, message) => {
      if (error === null)
        lines.push({ subject: message.subject, ...(message.json() as Omit<Line, "subject">) });
    },
  });
  try {
    await connection.flush();
    await act((pattern, count = 1) =>
      until(() => lines.filter(({ text }) => pattern.test(text)).length >= count),
    );
    return lines;
  } finally {
    subscription.unsubscribe();
  }
}
