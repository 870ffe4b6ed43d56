/** The node's own connection at its start, when NATS may not be there yet. */
import { setTimeout as delay } from "node:timers/promises";
import type { NatsConnection } from "@nats-io/nats-core";
import { errorText } from "@nexengine/protocol/errors";
import type { NatsLogin } from "@nexengine/protocol/nats";
import type { Logger } from "pino";
import { connectNats } from "./connect.ts";

const retryFirstMs = 250;
const retryMaxMs = 5_000;

/**
 * Connects, and tries again for a time. A refused login is tried again too: accounts may come later than their server.
 *
 * @param waitMs 0 for a single attempt.
 * @throws NexError `connection_failed` of the last attempt.
 */
export async function connectAtStart(login: NatsLogin, waitMs: number, log: Logger): Promise<NatsConnection> {
  const deadlineMs = performance.now() + waitMs;
  for (let retryMs = retryFirstMs, isFirst = true; ; retryMs = Math.min(retryMs * 2, retryMaxMs)) {
    try {
      // A refused login, as after a changed password, is retried later too. Workloads go on meanwhile.
      const connection = await connectNats(login, { ignoreAuthErrorAbort: true });
      if (!isFirst) log.info({ server: connection.getServer() }, "NATS is there, the node starts");
      return connection;
    } catch (error) {
      const leftMs = deadlineMs - performance.now();
      if (leftMs <= 0) throw error;
      if (isFirst) {
        log.warn({ reason: errorText(error), waitMs }, "NATS is not there yet; the node waits for it");
      }
      isFirst = false;
      await delay(Math.min(retryMs, leftMs));
    }
  }
}
