/** Events (CloudEvents 1.0) and log lines. */
import { z } from "zod";

export const eventTypes = [
  "node_started",
  "node_stopped",
  "node_entered_lameduck",
  "heartbeat",
  "workload_deployed",
  "workload_undeployed",
  "workload_restarting",
  "workload_adopted",
  "workload_unhealthy",
  "workload_healthy",
  "trigger_failed",
  "trigger_recovered",
  "message_dead",
  "job_ended",
  "deploy_refused",
  "stop_refused",
  "lameduck_refused",
  "function_exec_succeeded",
  "function_exec_failed",
] as const;
/** Type of an event, which is also the last token of its subject. */
export type EventType = (typeof eventTypes)[number];

const cloudEventSchema = z.looseObject({
  specversion: z.string(),
  type: z.string(),
  id: z.string().optional(),
  source: z.string().optional(),
  time: z.string().optional(),
  namespace: z.string().optional(),
  data: z.record(z.string(), z.unknown()).optional().catch(undefined),
});
/** An event as sent on the wire. */
export type CloudEvent = z.infer<typeof cloudEventSchema>;

/** Data of an event to encode. */
export interface EventFacts {
  id: string;
  type: EventType;
  /** A node id, or `<node id>-<workload id>`. */
  source: string;
  timeMs: number;
  data: Readonly<Record<string, unknown>>;
  /** Only for events of workloads. */
  namespace?: string;
}

const encoder = new TextEncoder();

export function encodeEvent(event: EventFacts): Uint8Array {
  return encoder.encode(
    JSON.stringify({
      data: event.data,
      datacontenttype: "application/json",
      id: event.id,
      ...(event.namespace === undefined ? {} : { namespace: event.namespace }),
      source: event.source,
      specversion: "1.0",
      time: new Date(event.timeMs).toISOString(),
      type: event.type,
    }),
  );
}

/** @returns `undefined` if the bytes are not an event. */
export function decodeEvent(bytes: Uint8Array): CloudEvent | undefined {
  const result = cloudEventSchema.safeParse(parseQuietly(bytes));
  return result.success ? result.data : undefined;
}

export const logLevels = ["DEBUG", "INFO", "WARN", "ERROR"] as const;
/** Level of a log line. */
export type LogLevel = (typeof logLevels)[number];

const logLineSchema = z.object({
  text: z.string(),
  level: z.string().optional().default("INFO"),
  id: z.string().optional(),
});
/** A log line as sent on the wire. Go Nex's levels can have an offset (`WARN+1`). */
export type LogLine = z.infer<typeof logLineSchema>;

export function encodeLogLine(line: { text: string; level: LogLevel; id: string }): Uint8Array {
  return encoder.encode(JSON.stringify(line));
}

/** @returns `undefined` if the bytes are not a log line. */
export function decodeLogLine(bytes: Uint8Array): LogLine | undefined {
  const result = logLineSchema.safeParse(parseQuietly(bytes));
  return result.success ? result.data : undefined;
}

/** Level without Go's offset; an unknown level counts as INFO. */
export function baseLevel(level: string): LogLevel {
  const base = level.split(/[+-]/)[0]?.toUpperCase();
  return logLevels.find((known) => known === base) ?? "INFO";
}

function parseQuietly(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString());
  } catch {
    return undefined;
  }
}
