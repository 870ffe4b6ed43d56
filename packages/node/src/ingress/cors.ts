/** Requests of browsers from other origins. The listener answers the questions that browsers ask before. */
import type { IncomingMessage } from "node:http";

type Headers = Record<string, string>;

const maxAgeSeconds = 600;
const headerListPattern = /^[!#$%&'*+.^_`|~0-9A-Za-z, -]{1,2048}$/;

/** The method that a preflight asks for; `undefined` for any other request. */
export function preflightMethod({ method, headers }: IncomingMessage): string | undefined {
  const asked = headers["access-control-request-method"];
  return method === "OPTIONS" && headers.origin !== undefined ? asked : undefined;
}

/** Headers that let an origin read a response; none when it may not. */
export function originHeaders(origins: readonly string[], origin: string | undefined): Headers {
  if (origin === undefined || !origins.includes(origin)) return { Vary: "Origin" };
  return { Vary: "Origin", "Access-Control-Allow-Origin": origin };
}

/** @returns the headers of the answer; `undefined` when the origin may not call. */
export function preflightHeaders(
  { headers }: IncomingMessage,
  origins: readonly string[],
  method: string,
): Headers | undefined {
  if (headers.origin === undefined || !origins.includes(headers.origin)) return undefined;
  const asked = headers["access-control-request-headers"];
  return {
    ...originHeaders(origins, headers.origin),
    "Access-Control-Allow-Methods": method,
    ...(asked !== undefined && headerListPattern.test(asked)
      ? { "Access-Control-Allow-Headers": asked }
      : {}),
    "Access-Control-Max-Age": String(maxAgeSeconds),
  };
}
