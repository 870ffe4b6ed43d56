/** Per-request connections: sealed by our client, in clear by Go Nex. */
import { NexError } from "@nexengine/protocol/errors";
import { type RequestConnection, saysConnection } from "@nexengine/protocol/messages";
import type { NatsLogin } from "@nexengine/protocol/nats";
import {
  type OwnConnection,
  type OwnConnectionName,
  planOwnConnection,
  type RequestConnections,
} from "../connections/own-connection.ts";

const names: readonly OwnConnectionName[] = ["trigger_connection", "host_services"];

/** Members that hold connections. */
export type ConnectionMembers = Partial<Record<OwnConnectionName, RequestConnection | undefined>>;

/** Where per-request connections may lead. */
export interface OwnConnectionFacts {
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
  { login, requestConnections }: OwnConnectionFacts,
): OwnConnection[] {
  return names.flatMap((name) => {
    if (saysConnection(clear[name]) && saysConnection(sealed[name])) {
      throw new NexError(
        "malformed_request",
        `Invalid deploy request: ${name} stands in clear and in nex.sealed`,
      );
    }
    const given = saysConnection(sealed[name]) ? sealed[name] : clear[name];
    return saysConnection(given) ? [planOwnConnection(name, given, login, requestConnections)] : [];
  });
}
