/** Makes the message of an HTTP request: its headers as a block, its body as the payload. */
import type { IncomingMessage } from "node:http";
import type { RouteParam } from "@nexengine/protocol/formats";
import { httpHeaders, httpParamHeader } from "@nexengine/protocol/messages";
import { asLatin1, connectionNames, passes } from "./header-rules.ts";
import type { RequestTarget } from "./request-target.ts";

/** Facts that a listener has found out about a request. */
export interface RequestFacts {
  method: string;
  target: RequestTarget;
  route: string;
  params: readonly RouteParam[];
  scheme: "http" | "https";
  client: string;
  requestId: string;
  /** Public key of the user whose token was verified; such a token is not passed on. */
  user: string | undefined;
}

/** Horizontal tabs are allowed in values; other control characters can't stand in a NATS header. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these characters are what is looked for
const unwritable = /[\x00-\x08\x0a-\x1f\x7f]/;

/** @returns `undefined` when a NATS header can't hold a value. */
export function headersOfRequest(request: IncomingMessage, facts: RequestFacts): string | undefined {
  const { target, params, user } = facts;
  const own: [name: string, value: string][] = [
    [httpHeaders.method, facts.method],
    [httpHeaders.path, target.rawPath],
    [httpHeaders.query, target.query],
    [httpHeaders.host, target.host],
    [httpHeaders.scheme, facts.scheme],
    [httpHeaders.client, facts.client],
    [httpHeaders.route, facts.route],
    [httpHeaders.requestId, facts.requestId],
    ...(user === undefined ? [] : [[httpHeaders.user, user] as [string, string]]),
  ];
  let block = "NATS/1.0\r\n";
  for (const [name, value] of own) block += `${name}: ${value}\r\n`;
  for (const [name, value] of params) {
    // Readers of headers remove spaces around a value.
    if (unwritable.test(value) || value.trim() !== value) return undefined;
    block += `${httpParamHeader(name)}: ${asLatin1(value)}\r\n`;
  }
  const ofConnection = connectionNames(request.headers.connection ?? "");
  const { rawHeaders } = request;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] as string;
    const value = rawHeaders[at + 1] as string;
    const key = name.toLowerCase();
    if (!passes(key) || ofConnection.includes(key) || (user !== undefined && key === "authorization"))
      continue;
    if (unwritable.test(value)) return undefined;
    block += `${name}: ${value}\r\n`;
  }
  return `${block}\r\n`;
}
