/** Trigger connections of NATS connections. */
import type { NatsConnection } from "@nats-io/nats-core";
import { fastTriggerConnection } from "./fast-connection.ts";
import { PlainTriggerConnection, type TriggerConnection } from "./trigger-connection.ts";

const known = new WeakMap<NatsConnection, TriggerConnection>();

/** The trigger connection of a NATS connection: one for all triggers, with our own dispatch where the library allows it. */
export function triggerConnectionOf(connection: NatsConnection): TriggerConnection {
  let found = known.get(connection);
  if (found === undefined) {
    found = fastTriggerConnection(connection) ?? new PlainTriggerConnection(connection);
    known.set(connection, found);
  }
  return found;
}
