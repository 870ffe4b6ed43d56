/** The client's connection to NATS. */

import type { NatsConnection } from "@nats-io/transport-node";
import { NodeTransport, nodeResolveHost } from "@nats-io/transport-node/lib/node_transport.js";
import { connectionFailure, connectionOptions, dialNats, type NatsLogin } from "@nexengine/protocol/nats";

/**
 * Logs in.
 *
 * @throws NexError `connection_failed`
 */
export async function connectNats(login: NatsLogin): Promise<NatsConnection> {
  try {
    return await dialNats(connectionOptions(login), {
      transport: () => new NodeTransport(),
      resolve: nodeResolveHost,
    });
  } catch (cause) {
    throw connectionFailure(login, cause);
  }
}
