/** Subscriptions without permission. The server reports them on the connection, not to the subscriber. */
import {
  type NatsConnection,
  PermissionViolationError,
  type QueuedIterator,
  type Status,
} from "@nats-io/nats-core";
import { NexError } from "@nexengine/protocol/errors";

type Listener = () => void;

const followed = new WeakMap<NatsConnection, Map<string, Set<Listener>>>();

/**
 * Calls a listener whenever the server refuses a subscription, or takes it away. nats.js calls the subscriber only where
 * the server names its queue group, which it does not do when it loads other permissions.
 *
 * @returns a function that ends this.
 */
export function onDenied(connection: NatsConnection, subject: string, listener: Listener): () => void {
  let listeners = followed.get(connection);
  if (listeners === undefined) {
    listeners = new Map();
    followed.set(connection, listeners);
    void follow(connection, listeners);
  }
  const ofSubject = listeners.get(subject) ?? new Set();
  listeners.set(subject, ofSubject.add(listener));
  return () => {
    ofSubject.delete(listener);
    if (ofSubject.size === 0 && listeners.get(subject) === ofSubject) listeners.delete(subject);
  };
}

async function follow(
  connection: NatsConnection,
  listeners: ReadonlyMap<string, Set<Listener>>,
): Promise<void> {
  for await (const status of connection.status()) {
    if (status.type !== "error" || !(status.error instanceof PermissionViolationError)) continue;
    const { operation, subject } = status.error;
    if (operation !== "subscription") continue;
    for (const listener of listeners.get(subject) ?? []) listener();
  }
}

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
