/** Calls a function, or any responder, and tells its errors from its replies. */

import { headers, type Msg, type NatsConnection } from "@nats-io/nats-core";
import {
  type ErrorCode,
  errorCodeHeader,
  errorHeader,
  errorText,
  NexError,
} from "@nexengine/protocol/internal";

const callTimeoutMsDefault = 30_000;
const codes: Readonly<Record<string, ErrorCode>> = {
  400: "function_bad_call",
  408: "function_timed_out",
  429: "function_overloaded",
  500: "function_threw",
  503: "function_stopped",
};

/** What a call may carry beside its payload. */
export interface CallOptions {
  headers?: Readonly<Record<string, string>>;
  timeoutMs?: number;
}

/** A reply. */
export interface CallReply {
  data: Uint8Array;
  headers: Record<string, string>;
}

/**
 * @throws NexError `function_*` when the reply is an error, `node_not_found` when nobody listens, `timeout`
 */
export async function call(
  connection: NatsConnection,
  subject: string,
  payload: Uint8Array | string,
  options: CallOptions = {},
): Promise<CallReply> {
  const timeout = options.timeoutMs ?? callTimeoutMsDefault;
  const given = headers();
  for (const [name, value] of Object.entries(options.headers ?? {})) given.append(name, value);
  let reply: Msg;
  try {
    reply = await connection.request(subject, payload, {
      timeout,
      ...(options.headers ? { headers: given } : {}),
    });
  } catch (cause) {
    throw callFailure(cause, subject, timeout);
  }
  const code = reply.headers?.get(errorCodeHeader) ?? "";
  if (code !== "" || reply.headers?.has(errorHeader) === true) {
    const text = reply.string() || reply.headers?.get(errorHeader) || "no reason given";
    throw new NexError(codes[code] ?? "function_threw", `Cannot call "${subject}": ${text}`);
  }
  return { data: reply.data, headers: plain(reply) };
}

function plain(reply: Msg): Record<string, string> {
  const all: Record<string, string> = {};
  for (const name of reply.headers?.keys() ?? []) all[name] = reply.headers?.values(name).join(", ") ?? "";
  return all;
}

function callFailure(cause: unknown, subject: string, timeoutMs: number): NexError {
  const text = errorText(cause);
  if (/no responders/i.test(text)) {
    return new NexError("node_not_found", `Cannot call "${subject}": nobody listens on this subject`, {
      cause,
      advice: "See what runs with: nex ps",
    });
  }
  if (/timeout/i.test(text)) {
    return new NexError("timeout", `Cannot call "${subject}": no reply within ${timeoutMs} ms`, { cause });
  }
  return new NexError("connection_failed", `Cannot call "${subject}": ${text}`, { cause });
}
