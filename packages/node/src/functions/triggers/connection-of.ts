/** The trigger connection that belongs to a connection of nats.js. */
import type { NatsConnection } from "@nats-io/nats-core";
import { fastTriggerConnection } from "./fast-connection.ts";
import { PlainTriggerConnection, type TriggerConnection } from "./trigger-connection.ts";

const known = new WeakMap<NatsConnection, TriggerConnection>();

/** With our own dispatch where the library allows it; the same one for all that trigger on the connection. */
export function triggerConnectionOf(connection: NatsConnection): TriggerConnection {
  let found = known.get(connection);
  if (found === undefined) {
    found = fastTriggerConnection(connection) ?? new PlainTriggerConnection(connection);
    known.set(connection, found);
  }
  return found;
}
