/** Makes an HTTP response of a function's reply. */
import { CallError } from "@nexengine/protocol/agent";
import { errorCodeHeader, httpHeaders } from "@nexengine/protocol/messages";
import type { TriggerMessage } from "../functions/triggers/trigger-connection.ts";
import { connectionNames, passes } from "./header-rules.ts";

/** A response that a function has made. */
export interface FunctionResponse {
  kind: "response";
  status: number;
  headers: [name: string, value: string][];
  body: Buffer;
}

/** A response that the listener makes, because there is none of a function. */
export interface FailedResponse {
  kind: "failed";
  status: number;
  text: string;
  headers: Readonly<Record<string, string>>;
}

/** @param headers For this response only */
export function failed(
  status: number,
  text: string,
  headers: Readonly<Record<string, string>> = {},
): FailedResponse {
  return { kind: "failed", status, text, headers };
}

/** A failure after which a caller may try again soon. */
export const failedForNow = (status: number, text: string): FailedResponse =>
  failed(status, text, { "Retry-After": "1" });

const tokenPattern = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const valuePattern = /^[\t\x20-\x7e\x80-\xff]*$/;
const statusPattern = /^[2-5]\d\d$/;
/** NATS answers so when nobody is subscribed. */
const noResponders = "503";

/** Reads a reply. An error's text may hold what no caller should see, so it is not passed on. */
export function responseOf({
  bytes,
  headersStart,
  payloadStart,
  payloadEnd,
}: TriggerMessage): FunctionResponse | FailedResponse {
  const body = bytes.subarray(payloadStart, payloadEnd);
  if (headersStart === payloadStart) return { kind: "response", status: 200, headers: [], body };
  const [first = "", ...lines] = bytes.toString("latin1", headersStart, payloadStart).split("\r\n");
  if (first.startsWith(`NATS/1.0 ${noResponders}`))
    return failedForNow(503, "No copy of the function takes requests now");
  const all = lines.flatMap((line): [name: string, value: string][] => {
    const colon = line.indexOf(":");
    return colon <= 0 ? [] : [[line.slice(0, colon), line.slice(colon + 1).trim()]];
  });
  const headerOf = (wanted: string): string | undefined =>
    all.find(([name]) => name.toLowerCase() === wanted.toLowerCase())?.[1];
  const code = headerOf(errorCodeHeader);
  if (code !== undefined) return failureOf(Number(code));
  const status = headerOf(httpHeaders.status) ?? "200";
  if (!statusPattern.test(status)) return failed(502, "The function gave a status that is not 200 to 599");
  const ofConnection = connectionNames(headerOf("connection") ?? "");
  const headers = all.filter(([name, value]) => {
    const key = name.toLowerCase();
    const isHttp = tokenPattern.test(name) && valuePattern.test(value);
    return isHttp && passes(key) && !ofConnection.includes(key);
  });
  return { kind: "response", status: Number(status), headers, body };
}

function failureOf(code: number): FailedResponse {
  switch (code) {
    case CallError.badCall:
      return failed(400, "The function can't take this request");
    case CallError.timedOut:
      return failed(504, "The function did not answer in time");
    case CallError.overloaded:
      return failedForNow(429, "The function has too many requests");
    case CallError.stopped:
      return failedForNow(503, "The function stopped before it answered");
    default:
      return failed(500, "The function failed");
  }
}
