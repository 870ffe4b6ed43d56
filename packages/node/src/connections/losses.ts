/** Follows a connection's losses. The library tries again by itself, and reports each attempt that is refused. */
import { errors, type NatsConnection } from "@nats-io/nats-core";
import { errorText } from "@nexengine/protocol/errors";

/** Failed attempts without a reason after which the loss is told as a refusal. */
const silentAttemptsMax = 3;
/** A server that closes its side with bytes unread resets the connection, and its reason may be lost with that. */
const noReason = "the server closes the connection before it answers the login";

/** Told of losses in their order. */
export interface LossListener {
  lost(server: string): void;
  /** The server refuses. Told once per loss, because the library tries again for ever. */
  refused(reason: string, isLogin: boolean): void;
  back(server: string): void;
}

/** Follows a connection until it is closed. */
export async function followLosses(connection: NatsConnection, listener: LossListener): Promise<void> {
  /** Attempts since the loss that ended without a reason; `undefined` while connected. */
  let silentAttempts: number | undefined;
  let isTold = false;
  const refused = (reason: string, isLogin: boolean): void => {
    if (isTold) return;
    isTold = true;
    listener.refused(reason, isLogin);
  };
  for await (const status of connection.status()) {
    if (status.type === "reconnect") {
      silentAttempts = undefined;
      isTold = false;
      listener.back(status.server);
    } else if (status.type === "disconnect" && silentAttempts === undefined) {
      silentAttempts = 0;
      listener.lost(status.server);
    } else if (status.type === "disconnect") {
      // An attempt that got as far as the login.
      silentAttempts = (silentAttempts ?? 0) + 1;
      if (silentAttempts >= silentAttemptsMax) refused(noReason, true);
    } else if (status.type === "error" && silentAttempts !== undefined) {
      refused(errorText(status.error), isLoginRefusal(status.error));
    }
  }
}

function isLoginRefusal(error: Error): boolean {
  return error instanceof errors.AuthorizationError || error instanceof errors.UserAuthenticationExpiredError;
}
