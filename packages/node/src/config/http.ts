/** Configuration of the HTTP listener. */
import { isNamespace } from "@nexengine/protocol/subjects";
import { z } from "zod";

const hostPattern = /^(?:\*|[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?)$/;
const listenPattern = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]+)):(\d{1,5})$/;
const portMax = 65_535;

export const httpSchema = z.object({
  /** Address and port: `127.0.0.1:8080`, `[::]:443`. */
  listen: z.string().refine((text) => listenAddress(text) !== undefined, "is not an address and a port"),
  /** Files with the certificate chain and its key, as PEM. */
  tls: z.object({ cert: z.string().min(1), key: z.string().min(1) }).optional(),
  /** Namespaces that may use a host, `*` for all other hosts. Routes without a host do not count for a listed host. */
  hosts: z
    .record(
      z.string().regex(hostPattern, "is neither a host name in lower case nor *"),
      z.array(z.string().refine(isNamespace, "is not a namespace")),
    )
    .default({}),
  max_connections: z.number().int().min(1).max(65_536).default(1_024),
  /** Maximum size of a body. A route can have less, and the NATS server may take less. */
  body_bytes_max: z.number().int().min(0).max(67_108_864).default(524_288),
  /** Time in which the headers of a request must arrive. */
  headers_timeout_ms: z.number().int().min(100).max(600_000).default(10_000),
  /** Time in which a whole request must arrive. */
  request_timeout_ms: z.number().int().min(100).max(600_000).default(60_000),
  /** Time for which a connection without a request stays open. */
  keep_alive_ms: z.number().int().min(100).max(600_000).default(5_000),
});
export type HttpConfig = z.infer<typeof httpSchema>;

/** @returns `undefined` for a text that is not an address and a port. */
export function listenAddress(text: string): { host: string; port: number } | undefined {
  const [, ipv6, name, port] = listenPattern.exec(text) ?? [];
  const host = ipv6 ?? name;
  if (host === undefined || Number(port) > portMax) return undefined;
  return { host, port: Number(port) };
}
