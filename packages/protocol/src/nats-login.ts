/** How one logs in to NATS: the same for nodes and clients. Opens no connection itself. */
import {
  type Authenticator,
  type ConnectionOptions,
  credsAuthenticator,
  nkeyAuthenticator,
  tokenAuthenticator,
  usernamePasswordAuthenticator,
} from "@nats-io/nats-core";
import { errorText, NexError } from "./errors.ts";

/** How to log in; the secrets are contents, never paths. */
export interface NatsLogin {
  /** URLs; `nats://127.0.0.1:4222` when absent. */
  servers?: string[];
  user?: string;
  password?: string;
  token?: string;
  /** The seed of an nkey. */
  nkeySeed?: string;
  /** The content of a credentials file. */
  credentials?: string;
  /** What the server lists the connection as. */
  name?: string;
  inboxPrefix?: string;
  timeoutMs?: number;
}

export const defaultServer = "nats://127.0.0.1:4222";
const connectTimeoutMs = 5_000;
const pingIntervalMs = 20_000;
const encoder = new TextEncoder();

/** The options of a connection that, once made, comes back by itself for ever. */
export function connectionOptions(login: NatsLogin): ConnectionOptions {
  const authenticator = authenticators(login);
  return {
    servers: login.servers ?? [defaultServer],
    ...(authenticator.length === 0 ? {} : { authenticator }),
    ...(login.name === undefined ? {} : { name: login.name }),
    ...(login.inboxPrefix === undefined ? {} : { inboxPrefix: login.inboxPrefix }),
    timeout: login.timeoutMs ?? connectTimeoutMs,
    maxReconnectAttempts: -1,
    pingInterval: pingIntervalMs,
  };
}

function authenticators(login: NatsLogin): Authenticator[] {
  const list: Authenticator[] = [];
  if (login.credentials !== undefined) list.push(credsAuthenticator(encoder.encode(login.credentials)));
  if (login.nkeySeed !== undefined) list.push(nkeyAuthenticator(encoder.encode(login.nkeySeed.trim())));
  if (login.token !== undefined) list.push(tokenAuthenticator(login.token));
  if (login.user !== undefined) list.push(usernamePasswordAuthenticator(login.user, login.password));
  return list;
}

/** What to throw when connecting failed; names the servers, never a secret. */
export function connectionFailure(login: NatsLogin, cause: unknown): NexError {
  const where = (login.servers ?? [defaultServer]).map(withoutSecrets).join(", ");
  const text = errorText(cause);
  const isRefused = /ECONNREFUSED|connection refused/.test(text);
  const reason = isRefused ? "connection refused, nothing listens there" : text;
  return new NexError("connection_failed", `Cannot connect to NATS at ${where}: ${reason}`, {
    // What can't be read as a URL is a member of the cause, password and all.
    ...(isBadUrl(cause) ? {} : { cause }),
    advice: "Check that the server runs and that the login is right, or start everything with: nex up",
  });
}

function isBadUrl(cause: unknown): boolean {
  return cause instanceof TypeError && "code" in cause && cause.code === "ERR_INVALID_URL";
}

/** A server's URL without user, password and token, which may hold any character, `@` and `/` too. */
export function withoutSecrets(url: string): string {
  const scheme = /^[a-z][a-z0-9+.-]*:\/\//i.exec(url)?.[0] ?? "";
  const rest = url.slice(scheme.length);
  return `${scheme}${rest.slice(rest.lastIndexOf("@") + 1)}`;
}
