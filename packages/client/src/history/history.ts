/** Opens the history of logs and events. */
import { NexError } from "@nexengine/protocol/errors";
import {
  allEventsSubject,
  eventStreamName,
  logStreamName,
  logSubject,
  systemNamespace,
} from "@nexengine/protocol/subjects";
import { type EventEntry, eventEntryOf, type LogEntry, type LogSelection, logEntryOf } from "../entries.ts";
import type { Session } from "../session.ts";
import { Cursor } from "./cursor.ts";
import { HistoryFeed, type HistoryFeedOptions, type ReadStream } from "./history-feed.ts";
import { KeptStream } from "./kept-stream.ts";
import { tailStart } from "./tail-start.ts";

/** Maximum of `tail`. */
const tailMax = 10_000;
/** Later times overflow in the server, which counts nanoseconds in 64 bits. */
const timeMsMax = Date.UTC(2262, 0);

/** Which part of the history is read. */
export interface HistoryOptions {
  /** The first time; from the beginning when absent. */
  since?: Date | undefined;
  /** Whether the feed goes on with what comes; otherwise it ends with what was there when it was opened. */
  follow?: boolean | undefined;
  signal?: AbortSignal | undefined;
}

/** Selects log lines of the history. */
export interface LogHistoryOptions extends HistoryOptions, LogSelection {
  /** Name or id of the workload. */
  workload?: string | undefined;
  /** The last lines only, at most 10,000. */
  tail?: number | undefined;
}

/** See `NexClient.logHistory`. */
export async function logHistory(
  session: Session,
  options: LogHistoryOptions,
): Promise<HistoryFeed<LogEntry>> {
  const { workload, tail, nodeId } = options;
  const matches = ({ workloadName, workloadId }: LogEntry): boolean =>
    workload === undefined || workloadName === workload || workloadId === workload;
  return await open(
    session,
    [{ stream: logStreamName(session.namespace), subjects: logSubjects(session, options) }],
    {
      ...options,
      tail: tail === undefined ? undefined : Math.min(tail, tailMax),
      read: (message) => {
        const entry = logEntryOf(message, { ...options, nodeId }, message.time);
        return entry !== undefined && matches(entry) ? entry : undefined;
      },
    },
  );
}

/** See `NexClient.eventHistory`. */
export async function eventHistory(
  session: Session,
  options: HistoryOptions,
): Promise<HistoryFeed<EventEntry>> {
  const sources = [...new Set([session.namespace, systemNamespace])].map((namespace) => ({
    stream: eventStreamName(namespace),
    subjects: [allEventsSubject(namespace)],
    isOptional: namespace !== session.namespace,
  }));
  return await open(session, sources, { ...options, tail: undefined, read: eventEntryOf });
}

/** Subjects of the lines. Both orders of the last two tokens are on the wire. */
function logSubjects(
  { namespace }: Session,
  { nodeId = "*", workload, workloadName = workload, workloadId = workload }: LogHistoryOptions,
): string[] {
  const subject = (name = "*", id = "*"): string =>
    logSubject({ namespace, nodeId, workloadName: name, workloadId: id });
  if (workload !== undefined) return [subject(workload), subject("*", workload)];
  if (workloadName === undefined && workloadId === undefined) return [subject()];
  return [subject(workloadName, workloadId), subject(workloadId, workloadName)];
}

/** A stream that is read, and subjects in it. */
interface Source {
  stream: string;
  subjects: readonly string[];
  /** Whether the rest is read without it. */
  isOptional?: boolean;
}

type OpenOptions<T> = HistoryOptions & Pick<HistoryFeedOptions<T>, "read" | "tail">;

async function open<T>(
  session: Session,
  sources: readonly Source[],
  { since, tail, read, follow = false, signal }: OpenOptions<T>,
): Promise<HistoryFeed<T>> {
  const stopping = new AbortController();
  const abort = (): void => stopping.abort();
  const streams: ReadStream[] = [];
  try {
    for (const source of sources) {
      const { connection, inboxPrefix } = session;
      const place = { connection, inboxPrefix, stream: source.stream, signal: stopping.signal };
      const opened = await openStream(new KeptStream(place), source, { since, tail });
      if (opened !== undefined) streams.push(opened);
    }
  } catch (error) {
    stopping.abort();
    throw error;
  }
  void session.connection.closed().then(abort);
  signal?.addEventListener("abort", abort, { once: true });
  stopping.signal.addEventListener("abort", () => signal?.removeEventListener("abort", abort));
  if (signal?.aborted === true) abort();
  return new HistoryFeed({ streams, read, tail, follow, stopping });
}

async function openStream(
  stream: KeptStream,
  { subjects, isOptional = false }: Source,
  { since, tail }: { since: Date | undefined; tail: number | undefined },
): Promise<ReadStream | undefined> {
  try {
    const lookedOn = stream.connectedTo;
    const facts = await stream.look(true);
    if (facts === undefined) throw silent(stream);
    await stream.assertReadable();
    const first = since === undefined ? facts.first : await firstSince(stream, since, facts.last);
    const cursors = subjects.map((subject) => new Cursor(stream, subject, first));
    if (tail !== undefined) {
      const count = async (from: number): Promise<number | undefined> => {
        const counts = await Promise.all(cursors.map((cursor) => cursor.countFrom(from)));
        return counts.reduce(
          (sum, one) => (sum === undefined || one === undefined ? undefined : sum + one),
          0,
        );
      };
      const start = await tailStart(tail, { first, last: facts.last }, count);
      for (const cursor of cursors) cursor.next = start;
    }
    return { stream, facts, lookedOn, cursors };
  } catch (error) {
    if (isOptional && error instanceof NexError) return undefined;
    throw error;
  }
}

/** Number of the first message from a time on. @throws NexError `timeout` */
async function firstSince(stream: KeptStream, since: Date, last: number): Promise<number> {
  if (since.getTime() > timeMsMax) return last + 1;
  const { messages, left } = await stream.read({
    start_time: new Date(Math.max(0, since.getTime())).toISOString(),
    batch: 1,
  });
  if (left === undefined) throw silent(stream);
  return messages[0]?.sequence ?? last + 1;
}

function silent({ name }: KeptStream): NexError {
  return new NexError("timeout", `Cannot read the stream ${name}: JetStream does not answer`, {
    advice: "It is off, or has no leader now",
  });
}
