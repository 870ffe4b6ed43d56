/** Subscriptions without permission. The server reports them on the connection, not to the subscriber. */
import {
  type NatsConnection,
  PermissionViolationError,
  type QueuedIterator,
  type Status,
} from "@nats-io/nats-core";
import { NexError } from "@nexengine/protocol/errors";

/**
 * Subscribes, and reports what was not permitted.
 *
 * @param subscribe Returns once the server has answered all subscriptions.
 * @throws NexError `trigger_denied`
 */
export async function subscribePermitted(
  connection: NatsConnection,
  subjects: readonly string[],
  subscribe: () => Promise<void>,
): Promise<void> {
  const statuses = connection.status() as QueuedIterator<Status>;
  const denied: string[] = [];
  const watching = (async () => {
    for await (const status of statuses) {
      if (status.type !== "error" || !(status.error instanceof PermissionViolationError)) continue;
      const { operation, subject } = status.error;
      if (operation === "subscription" && subjects.includes(subject)) denied.push(subject);
    }
  })();
  try {
    await subscribe();
  } finally {
    statuses.stop();
    await watching;
  }
  const [subject] = denied;
  if (subject === undefined) return;
  throw new NexError(
    "trigger_denied",
    `The trigger subject ${subject} is not permitted by NATS to the user by whom the node acts for this namespace`,
  );
}
