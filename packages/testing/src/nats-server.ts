/** A real nats-server for a test. */
import {
  defaultCacheDirectory,
  fetchNatsServer,
  findNatsServer,
  type NatsServer,
  type StartNatsServerOptions,
  startNatsServer,
} from "@nexengine/node/internal";

/**
 * Starts a nats-server with JetStream on a free port of the loopback, fetching the binary when there is none.
 *
 * @throws NexError
 */
export async function startTestNatsServer(
  options: Partial<StartNatsServerOptions> = {},
): Promise<NatsServer> {
  const cacheDirectory = defaultCacheDirectory();
  const binary =
    (await findNatsServer({ cacheDirectory })) ?? (await fetchNatsServer({ cacheDirectory }, () => {}));
  return startNatsServer({ binary, ...options });
}
