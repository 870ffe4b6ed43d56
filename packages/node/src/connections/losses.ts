/** Follows a connection's losses. The library tries again by itself, and reports each attempt that is refused. */
import { errors, type NatsConnection } from "@nats-io/nats-core";
import { errorText } from "@nexengine/protocol/errors";

/** Told of losses in their order. */
export interface LossListener {
  lost(server: string): void;
  /** The server refuses. Told once per loss and reason, because the library tries again for ever. */
  refused(reason: string, isLogin: boolean): void;
  back(server: string): void;
}

/** Follows a connection until it is closed. */
export async function followLosses(connection: NatsConnection, listener: LossListener): Promise<void> {
  let isLost = false;
  const told = new Set<string>();
  for await (const status of connection.status()) {
    if (status.type === "disconnect") {
      isLost = true;
      listener.lost(status.server);
    } else if (status.type === "reconnect") {
      isLost = false;
      told.clear();
      listener.back(status.server);
    } else if (status.type === "error" && isLost) {
      const reason = errorText(status.error);
      if (told.has(reason)) continue;
      told.add(reason);
      listener.refused(reason, isLoginRefusal(status.error));
    }
  }
}

function isLoginRefusal(error: Error): boolean {
  return error instanceof errors.AuthorizationError || error instanceof errors.UserAuthenticationExpiredError;
}
