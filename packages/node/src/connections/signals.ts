/** News of a connection, for any number of listeners: one reader of its statuses. */
import { type NatsConnection, PermissionViolationError } from "@nats-io/nats-core";

type Listener = () => void;
type SubjectListener = (subject: string) => void;

interface Listeners {
  readonly deniedSubscriptions: Map<string, Set<Listener>>;
  readonly deniedPublishes: Set<SubjectListener>;
  readonly reconnects: Set<Listener>;
}

const followed = new WeakMap<NatsConnection, Listeners>();

function listenersOf(connection: NatsConnection): Listeners {
  let listeners = followed.get(connection);
  if (listeners === undefined) {
    listeners = { deniedSubscriptions: new Map(), deniedPublishes: new Set(), reconnects: new Set() };
    followed.set(connection, listeners);
    void follow(connection, listeners);
  }
  return listeners;
}

/**
 * Calls a listener whenever the server refuses a subscription, or takes it away. nats.js calls the subscriber only where
 * the server names its queue group, which it does not do when it loads other permissions.
 *
 * @returns a function that ends this.
 */
export function onDenied(connection: NatsConnection, subject: string, listener: Listener): () => void {
  const { deniedSubscriptions: all } = listenersOf(connection);
  const ofSubject = all.get(subject) ?? new Set();
  all.set(subject, ofSubject.add(listener));
  return () => {
    ofSubject.delete(listener);
    if (ofSubject.size === 0 && all.get(subject) === ofSubject) all.delete(subject);
  };
}

/** Calls a listener with the subject of each publish that the server refuses. @returns a function that ends this */
export function onPublishDenied(connection: NatsConnection, listener: SubjectListener): () => void {
  const { deniedPublishes } = listenersOf(connection);
  deniedPublishes.add(listener);
  return () => deniedPublishes.delete(listener);
}

/** Calls a listener whenever the connection is back after a loss. @returns a function that ends this */
export function onReconnect(connection: NatsConnection, listener: Listener): () => void {
  const { reconnects } = listenersOf(connection);
  reconnects.add(listener);
  return () => reconnects.delete(listener);
}

async function follow(connection: NatsConnection, listeners: Listeners): Promise<void> {
  for await (const status of connection.status()) {
    if (status.type === "reconnect") {
      for (const listener of listeners.reconnects) listener();
    }
    if (status.type !== "error" || !(status.error instanceof PermissionViolationError)) continue;
    const { operation, subject } = status.error;
    if (operation === "publish") {
      for (const listener of listeners.deniedPublishes) listener(subject);
    } else {
      for (const listener of listeners.deniedSubscriptions.get(subject) ?? []) listener();
    }
  }
}
