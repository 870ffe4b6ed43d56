/** The node's connection to NATS. */

import {
  type Authenticator,
  connect,
  credsAuthenticator,
  type NatsConnection,
  nkeyAuthenticator,
  tokenAuthenticator,
  usernamePasswordAuthenticator,
} from "@nats-io/transport-node";
import { errorText, NexError } from "@nexengine/protocol/internal";

/** How to log in; the secrets are contents, never paths. */
export interface NatsLogin {
  servers?: string[];
  user?: string;
  password?: string;
  token?: string;
  /** The seed of an nkey. */
  nkeySeed?: string;
  /** The content of a credentials file. */
  credentials?: string;
  name?: string;
  inboxPrefix?: string;
  timeoutMs?: number;
}

const connectTimeoutMs = 5_000;
const pingIntervalMs = 20_000;
const encoder = new TextEncoder();

/**
 * Logs in. Once connected, the connection comes back by itself for ever.
 *
 * @throws NexError `connection_failed` that names the server, never a secret.
 */
export async function connectNats(login: NatsLogin): Promise<NatsConnection> {
  const servers = login.servers ?? ["nats://127.0.0.1:4222"];
  const authenticator = authenticators(login);
  try {
    return await connect({
      servers,
      ...(authenticator.length === 0 ? {} : { authenticator }),
      ...(login.name === undefined ? {} : { name: login.name }),
      ...(login.inboxPrefix === undefined ? {} : { inboxPrefix: login.inboxPrefix }),
      timeout: login.timeoutMs ?? connectTimeoutMs,
      maxReconnectAttempts: -1,
      pingInterval: pingIntervalMs,
    });
  } catch (cause) {
    throw new NexError(
      "connection_failed",
      `Cannot connect to NATS at ${servers.map(withoutSecrets).join(", ")}: ${reason(cause)}`,
      {
        cause,
        advice: "Check that the server runs and that the login is right, or start everything with: nex up",
      },
    );
  }
}

function authenticators(login: NatsLogin): Authenticator[] {
  const list: Authenticator[] = [];
  if (login.credentials !== undefined) list.push(credsAuthenticator(encoder.encode(login.credentials)));
  if (login.nkeySeed !== undefined) list.push(nkeyAuthenticator(encoder.encode(login.nkeySeed.trim())));
  if (login.token !== undefined) list.push(tokenAuthenticator(login.token));
  if (login.user !== undefined) list.push(usernamePasswordAuthenticator(login.user, login.password));
  return list;
}

function reason(cause: unknown): string {
  const text = errorText(cause);
  return text.includes("ECONNREFUSED") ? "connection refused, nothing listens there" : text;
}

/** A server's URL without user, password and token. */
export function withoutSecrets(url: string): string {
  return url.replace(/\/\/[^/@]*@/, "//");
}
