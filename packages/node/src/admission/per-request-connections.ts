/** Per-request connections: sealed by our client, in clear by Go Nex. */
import { NexError } from "@nexengine/protocol/errors";
import { type RequestConnection, saysConnection } from "@nexengine/protocol/messages";
import type { NatsLogin } from "@nexengine/protocol/nats";
import {
  type PerRequestConnection,
  type PerRequestConnectionName,
  planPerRequestConnection,
  type RequestConnections,
} from "../connections/per-request-connection.ts";

const names: readonly PerRequestConnectionName[] = ["trigger_connection", "host_services"];

/** Members that hold connections. */
export type ConnectionMembers = Partial<Record<PerRequestConnectionName, RequestConnection | undefined>>;

/** Where per-request connections may lead. */
export interface PerRequestConnectionFacts {
  /** The namespace's usual login. */
  login: NatsLogin;
  requestConnections: RequestConnections;
}

/**
 * Checks per-request connections.
 *
 * @throws NexError `connection_not_allowed`, `malformed_request`
 */
export function admitConnections(
  clear: ConnectionMembers,
  sealed: ConnectionMembers,
  { login, requestConnections }: PerRequestConnectionFacts,
): PerRequestConnection[] {
  return names.flatMap((name) => {
    if (saysConnection(clear[name]) && saysConnection(sealed[name])) {
      throw new NexError(
        "malformed_request",
        `Invalid deploy request: ${name} stands in clear and in nex.sealed`,
      );
    }
    const given = saysConnection(sealed[name]) ? sealed[name] : clear[name];
    return saysConnection(given) ? [planPerRequestConnection(name, given, login, requestConnections)] : [];
  });
}
