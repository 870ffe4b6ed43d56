/** Bytes that a connection has not sent yet. */
import type { NatsConnection } from "@nats-io/nats-core";

/** The part of nats.js that holds unsent bytes: a buffer of the current turn, then its socket. */
interface Inside {
  protocol?: {
    outbound?: { size?(): number };
    transport?: { socket?: { writableLength: number } };
  };
}

/** Unsent bytes in this process; 0 where the library does not show them. */
export function unsentBytes(connection: NatsConnection): number {
  const { protocol } = connection as unknown as Inside;
  return (protocol?.outbound?.size?.() ?? 0) + (protocol?.transport?.socket?.writableLength ?? 0);
}
