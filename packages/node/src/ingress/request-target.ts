/** The host, path and query of a request, and how its body is framed. */
import type { IncomingMessage } from "node:http";
import { type RequestPath, splitPath } from "@nexengine/protocol/formats";

/** Where a request goes. */
export interface RequestTarget {
  /** In lower case, without a port; empty without one. */
  host: string;
  /** As sent. */
  rawPath: string;
  path: RequestPath;
  /** Without the question mark. */
  query: string;
}

const hostPattern = /^(?:[a-z0-9_.-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::\d{1,5})?$/;

/** @returns why it is a bad request, as text */
export function readTarget({ url = "", headersDistinct }: IncomingMessage): RequestTarget | string {
  const hosts = headersDistinct["host"] ?? [];
  if (hosts.length > 1) return "the request has more than one host";
  const absolute = /^https?:\/\/([^/?#]*)(.*)$/i.exec(url);
  const [, authority, rest = ""] = absolute ?? [];
  const named = hosts[0]?.toLowerCase() ?? "";
  if (authority !== undefined && authority.toLowerCase() !== named) return "the URL and the host differ";
  if (named !== "" && !hostPattern.test(named)) return "the host is not one";
  const target = absolute === null ? url : rest.startsWith("/") ? rest : `/${rest}`;
  const mark = target.indexOf("?");
  const rawPath = mark < 0 ? target : target.slice(0, mark);
  const query = mark < 0 ? "" : target.slice(mark + 1);
  const path = splitPath(rawPath);
  if (path === undefined || !/^[\x21-\x7e]*$/.test(query)) return "the path or the query can't be read";
  return { host: named.replace(/:\d+$/, "").replace(/\.$/, ""), rawPath, path, query };
}
