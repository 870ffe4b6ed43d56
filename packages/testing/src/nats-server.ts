/** A real nats-server for a test. */
import {
  defaultCacheDirectory,
  fetchNatsServer,
  findNatsServer,
  type NatsServer,
  type NatsServerBinary,
  type StartNatsServerOptions,
  startNatsServer,
} from "@nexengine/provision";

/** The nats-server of tests, fetched when there is none. @throws NexError */
export async function testNatsServer(): Promise<NatsServerBinary> {
  const cacheDirectory = defaultCacheDirectory();
  return (await findNatsServer({ cacheDirectory })) ?? (await fetchNatsServer({ cacheDirectory }, () => {}));
}

/**
 * Starts a nats-server with JetStream on a free port of the loopback, fetching the binary when there is none.
 *
 * @throws NexError
 */
export async function startTestNatsServer(
  options: Partial<StartNatsServerOptions> = {},
): Promise<NatsServer> {
  return startNatsServer({ binary: await testNatsServer(), ...options });
}
