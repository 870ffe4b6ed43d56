/** Opens and closes one connection to NATS. */

import type { ConnectionOptions, NatsConnection } from "@nats-io/transport-node";
import { settlesWithin } from "@nexengine/machines/internal";
import { NexError } from "@nexengine/protocol/errors";
import { connectionFailure, connectionOptions, type NatsLogin } from "@nexengine/protocol/nats";
import { connectTransport } from "./transport.ts";

/** Timeout for the last messages when a connection closes. */
const closeTimeoutMs = 2_000;

/**
 * Logs in.
 *
 * @param changes Options that replace those of the login.
 * @throws NexError `connection_failed`
 */
export async function connectNats(
  login: NatsLogin,
  changes: Partial<ConnectionOptions> = {},
): Promise<NatsConnection> {
  try {
    return await connectTransport({ ...connectionOptions(login), ...changes });
  } catch (cause) {
    throw connectionFailure(login, cause);
  }
}

/**
 * Connects within a time limit, whatever the number of servers. A connection that arrives later is closed.
 *
 * @throws NexError `connection_failed`
 */
export async function connectWithin(
  login: NatsLogin,
  timeMs: number,
  changes: Partial<ConnectionOptions> | Promise<Partial<ConnectionOptions>>,
): Promise<NatsConnection> {
  const bounded = { ...login, timeoutMs: Math.min(login.timeoutMs ?? timeMs, timeMs) };
  const opening = Promise.resolve(changes).then((known) => connectNats(bounded, known));
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    opening.then(closeConnection).catch(() => undefined);
    late.reject(connectionFailure(login, new NexError("timeout", `no answer within ${timeMs} ms`)));
  }, timeMs);
  try {
    return await Promise.race([opening, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** Flushes within a time limit, and closes. */
export async function closeConnection(connection: NatsConnection): Promise<void> {
  if (connection.isClosed()) return;
  await settlesWithin(connection.flush(), closeTimeoutMs);
  await connection.close();
}
