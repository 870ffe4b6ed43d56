/** Entries of logs and events, out of the messages that carry them. */
import { type CloudEvent, decodeEvent, decodeLogLine } from "@nexengine/protocol/messages";
import { parseEventSubject, parseLogSubject } from "@nexengine/protocol/subjects";
import type { FeedOptions } from "./feed.ts";

/** A log line of a workload. */
export interface LogEntry {
  namespace: string;
  nodeId: string;
  workloadName: string;
  workloadId: string;
  /** Go's level text: `INFO`, `WARN+1` and so on. */
  level: string;
  text: string;
  /** Time at which the client, or the stream of the history, has received it. */
  receivedAt: Date;
}

/** Selects log lines; an absent member selects everything. */
export interface LogSelection {
  nodeId?: string | undefined;
  workloadName?: string | undefined;
  workloadId?: string | undefined;
}

/** Selects log lines of a feed. */
export interface LogFilter extends FeedOptions, LogSelection {}

/** An event of the namespace or of the nodes. */
export interface EventEntry {
  namespace: string;
  type: string;
  event: CloudEvent;
}

/** A message as both NATS subscriptions and streams have it. */
interface Carrier {
  subject: string;
  data: Uint8Array;
}

/** @returns `undefined` for anything but a selected log line. */
export function logEntryOf(
  { subject, data }: Carrier,
  { nodeId, workloadName, workloadId }: LogSelection,
  receivedAt: Date,
): LogEntry | undefined {
  const at = parseLogSubject(subject);
  const line = decodeLogLine(data);
  if (at === undefined || line === undefined) return undefined;
  if (nodeId !== undefined && nodeId !== at.nodeId) return undefined;
  if (workloadName !== undefined && workloadName !== at.workloadName) return undefined;
  if (workloadId !== undefined && workloadId !== at.workloadId) return undefined;
  return { ...at, level: line.level, text: line.text, receivedAt };
}

/** @returns `undefined` for anything but an event. */
export function eventEntryOf({ subject, data }: Carrier): EventEntry | undefined {
  const at = parseEventSubject(subject);
  const event = decodeEvent(data);
  return at === undefined || event === undefined ? undefined : { ...at, event };
}
