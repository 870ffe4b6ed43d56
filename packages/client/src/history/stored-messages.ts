/**
 * Messages of a stream, read by their numbers (`DIRECT.GET`). Nothing of a reader stays with the server, and the permission
 * lets nobody publish or change anything, which that to create consumers would.
 */
import { createInbox, type Msg, type NatsConnection } from "@nats-io/nats-core";
import { NexError } from "@nexengine/protocol/errors";

/** Maximum time between two messages of an answer. */
const silenceMs = 5_000;
const noMessage = 404;
const endOfBatch = 204;

/** A message of a stream. */
export interface StoredMessage {
  subject: string;
  sequence: number;
  time: Date;
  /** The same time with all digits of the server. */
  timestamp: string;
  data: Uint8Array;
}

/** Selects the first message from a number or a time on, and those after it. */
export type StoredQuery = ({ seq: number } | { start_time: string }) & {
  batch: number;
  max_bytes?: number;
  /** Subject of all messages; any when absent. */
  next_by_subj?: string;
};

/** Messages in their order. */
export interface StoredBatch {
  messages: StoredMessage[];
  /** Number of selected messages after the last one; `undefined` when the answer broke off, or there was none. */
  left: number | undefined;
}

/** Where a stream is read. */
export interface StoredPlace {
  connection: NatsConnection;
  inboxPrefix: string | undefined;
  stream: string;
  signal: AbortSignal;
}

/**
 * Reads messages. Whatever the server does not answer is missing in the result.
 *
 * @throws NexError `nats_server_too_old`, `connection_failed` for an answer that refuses
 */
export async function readStored(
  { connection, inboxPrefix, stream, signal }: StoredPlace,
  query: StoredQuery,
): Promise<StoredBatch> {
  const done = Promise.withResolvers<StoredBatch>();
  const messages: StoredMessage[] = [];
  const end = (left: number | undefined): void => done.resolve({ messages, left });
  const breakOff = (): void => end(undefined);
  const silence = setTimeout(breakOff, silenceMs);
  signal.addEventListener("abort", breakOff, { once: true });
  const inbox = createInbox(inboxPrefix);
  const take = (message: Msg): void => {
    silence.refresh();
    const code = message.headers?.code ?? 0;
    if (code === 0) {
      if (message.headers?.has(pendingHeader) !== true) throw tooOld();
      messages.push(storedMessage(message));
    } else if (code === noMessage) end(0);
    else if (code === endOfBatch) end(Number(message.headers?.get(pendingHeader)));
    else if (code === 503) breakOff();
    else throw refused(stream, message.headers?.description ?? String(code));
  };
  try {
    if (signal.aborted || connection.isClosed()) return { messages, left: undefined };
    const subscription = connection.subscribe(inbox, {
      callback: (error, message) => {
        try {
          if (error !== null) throw refused(stream, error.message);
          take(message);
        } catch (failure) {
          done.reject(failure);
        }
      },
    });
    try {
      connection.publish(`$JS.API.DIRECT.GET.${stream}`, JSON.stringify(query), { reply: inbox });
      return await done.promise;
    } finally {
      if (!subscription.isClosed()) subscription.unsubscribe();
    }
  } finally {
    clearTimeout(silence);
    signal.removeEventListener("abort", breakOff);
  }
}

const pendingHeader = "Nats-Num-Pending";

function storedMessage({ headers, data }: Msg): StoredMessage {
  const timestamp = headers?.get("Nats-Time-Stamp") ?? "";
  return {
    subject: headers?.get("Nats-Subject") ?? "",
    sequence: Number(headers?.get("Nats-Sequence")),
    time: new Date(timestamp),
    timestamp,
    data,
  };
}

function tooOld(): NexError {
  return new NexError(
    "nats_server_too_old",
    "Cannot read the history: the nats-server gives single messages only, and 2.11 or later is needed",
  );
}

function refused(stream: string, why: string): NexError {
  return new NexError("connection_failed", `Cannot read the stream ${stream}: ${why}`);
}
