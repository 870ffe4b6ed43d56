/** The node's connection to NATS. */

import { connect, type NatsConnection } from "@nats-io/transport-node";
import { connectionFailure, connectionOptions, type NatsLogin } from "@nexengine/protocol/internal";

/**
 * Logs in.
 *
 * @throws NexError `connection_failed`
 */
export async function connectNats(login: NatsLogin): Promise<NatsConnection> {
  try {
    return await connect(connectionOptions(login));
  } catch (cause) {
    throw connectionFailure(login, cause);
  }
}
