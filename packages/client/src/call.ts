/** Calls a function, or any responder, and tells its errors from its replies. */
import { headers, type Msg, type MsgHdrs, type NatsConnection } from "@nats-io/nats-core";
import { callErrorTextBytesMax } from "@nexengine/protocol/agent";
import { type ErrorCode, NexError } from "@nexengine/protocol/errors";
import { errorCodeHeader, errorHeader } from "@nexengine/protocol/messages";
import { isSubscribableSubject, printable } from "@nexengine/protocol/subjects";
import { notSent, silenceKind } from "./request-failure.ts";

const callTimeoutMsDefault = 30_000;
/** A map: the code comes from whoever answers. */
const codes: ReadonlyMap<string, ErrorCode> = new Map([
  ["400", "function_bad_call"],
  ["408", "function_timed_out"],
  ["429", "function_overloaded"],
  ["500", "function_threw"],
  ["503", "function_stopped"],
]);

/** Options of a call beside its payload. */
export interface CallOptions {
  headers?: Readonly<Record<string, string>>;
  /** 30,000 when absent. */
  timeoutMs?: number;
}

/** A reply. */
export interface CallReply {
  data: Uint8Array;
  /** Several values of one header stand in one text, with commas between them. */
  headers: Record<string, string>;
}

/** See `NexClient.call`. */
export async function call(
  connection: NatsConnection,
  subject: string,
  payload: Uint8Array | string,
  options: CallOptions = {},
): Promise<CallReply> {
  const action = `Cannot call "${printable(subject)}"`;
  checkCall(connection, action, subject, payload);
  const timeoutMs = options.timeoutMs ?? callTimeoutMsDefault;
  const given = options.headers === undefined ? {} : { headers: headersOf(options.headers, action) };
  return await callWith(connection, subject, { payload, timeoutMs, ...given }, action);
}

/** Content of a call, ready to be sent. */
interface PreparedCall {
  payload: Uint8Array | string;
  headers?: MsgHdrs;
  timeoutMs: number;
}

/** Calls with headers that are made already. @param action For messages */
export async function callWith(
  connection: NatsConnection,
  subject: string,
  { payload, headers: given, timeoutMs: timeout }: PreparedCall,
  action: string,
): Promise<CallReply> {
  let reply: Msg;
  try {
    reply = await connection.request(subject, payload, {
      timeout,
      ...(given === undefined ? {} : { headers: given }),
    });
  } catch (cause) {
    throw callFailure(cause, action, timeout);
  }
  const failure = failureOf(reply);
  if (failure !== undefined) throw new NexError(failure.code, `${action}: ${failure.text}`);
  return { data: reply.data, headers: plain(reply.headers) };
}

function checkCall(
  connection: NatsConnection,
  action: string,
  subject: string,
  payload: Uint8Array | string,
): void {
  if (!isSubscribableSubject(subject) || /(^|\.)[*>](\.|$)/.test(subject)) {
    throw new NexError("usage", `${action}: it is not a subject that can be sent to`, {
      advice: 'A subject has tokens with "." between them, without white space, "*" or ">"',
    });
  }
  const bytes = Buffer.byteLength(payload);
  const bytesMax = connection.info?.max_payload;
  if (bytesMax !== undefined && bytes > bytesMax) {
    throw new NexError(
      "request_too_large",
      `${action}: payload has ${bytes} bytes, the NATS server accepts ${bytesMax}`,
    );
  }
}

function headersOf(given: Readonly<Record<string, string>>, action: string): MsgHdrs {
  const all = headers();
  for (const [name, value] of Object.entries(given)) {
    try {
      all.append(name, value);
    } catch (cause) {
      throw new NexError("usage", `${action}: header "${printable(name)}" can't be sent`, { cause });
    }
  }
  return all;
}

/** The failure in an error reply, made safe to show: whoever answers chose the text. */
function failureOf(reply: Msg): { code: ErrorCode; text: string } | undefined {
  const code = reply.headers?.get(errorCodeHeader) ?? "";
  const title = reply.headers?.get(errorHeader) ?? "";
  if (code === "" && title === "") return undefined;
  const text = (reply.string() || title).slice(0, callErrorTextBytesMax).replace(/\s+/g, " ").trim();
  return {
    code: codes.get(code) ?? "function_threw",
    text: text === "" ? "no reason given" : printable(text, callErrorTextBytesMax),
  };
}

function plain(received: MsgHdrs | undefined): Record<string, string> {
  const names = received?.keys() ?? [];
  return Object.fromEntries(names.map((name) => [name, received?.values(name).join(", ") ?? ""]));
}

function callFailure(cause: unknown, action: string, timeoutMs: number): NexError {
  switch (silenceKind(cause)) {
    case "no-responders":
      return new NexError(
        "node_not_found",
        `${action}: nobody answers on this subject, or no copy has room`,
        {
          cause,
          advice: "See what runs with: nex ps; a copy that is full takes calls again when few wait",
        },
      );
    case "timeout":
      return new NexError("timeout", `${action}: no reply within ${timeoutMs} ms`, { cause });
    default:
      return notSent(cause, action);
  }
}
