/** Login to NATS, for nodes and clients. This module opens no connection itself. */
import {
  type Authenticator,
  type ConnectionOptions,
  credsAuthenticator,
  jwtAuthenticator,
  nkeyAuthenticator,
  tokenAuthenticator,
  usernamePasswordAuthenticator,
} from "@nats-io/nats-core";
import { errorText, NexError } from "../errors.ts";
import { type NatsTls, tlsFailure, tlsOptions } from "./tls.ts";

/** Login to NATS. Secrets are contents, never paths. */
export interface NatsLogin {
  /** URLs; `nats://127.0.0.1:4222` when absent. Credentials in a URL are used if no other login is given. */
  servers?: string[];
  user?: string;
  password?: string;
  token?: string;
  /** Seed of an nkey. */
  nkeySeed?: string;
  /** Content of a credentials file. */
  credentials?: string;
  /** User JWT. Without the seed of an nkey, it must be a bearer token. */
  userJwt?: string;
  tls?: NatsTls;
  /** Connection name that the server lists. */
  name?: string;
  inboxPrefix?: string;
  timeoutMs?: number;
  /** Interval of pings; 10 s when absent. A connection on which two in a row have no answer is lost. */
  pingIntervalMs?: number;
}

export const defaultServer = "nats://127.0.0.1:4222";
const connectTimeoutMs = 5_000;
const pingIntervalMs = 10_000;
const unansweredPingsMax = 2;
const encoder = new TextEncoder();

/** Options of a connection that reconnects forever once established. */
export function connectionOptions(login: NatsLogin): ConnectionOptions {
  const authenticator = authenticators(login);
  const servers = login.servers ?? [defaultServer];
  const tls = tlsOptions(servers, login.tls);
  return {
    servers: servers.map(withoutSecrets),
    ...(tls === undefined ? {} : { tls }),
    ...(authenticator.length === 0 ? {} : { authenticator }),
    ...(login.name === undefined ? {} : { name: login.name }),
    ...(login.inboxPrefix === undefined ? {} : { inboxPrefix: login.inboxPrefix }),
    timeout: login.timeoutMs ?? connectTimeoutMs,
    maxReconnectAttempts: -1,
    pingInterval: login.pingIntervalMs ?? pingIntervalMs,
    maxPingOut: unansweredPingsMax,
  };
}

function authenticators(login: NatsLogin): Authenticator[] {
  const list = givenAuthenticators(login);
  if (list.length > 0) return list;
  // The NATS client ignores credentials in a URL.
  const secrets = (login.servers ?? []).map(loginInUrl).find((found) => found !== undefined);
  return secrets === undefined ? [] : givenAuthenticators(secrets);
}

function givenAuthenticators(login: NatsLogin): Authenticator[] {
  const list: Authenticator[] = [];
  const seed = login.nkeySeed === undefined ? undefined : encoder.encode(login.nkeySeed.trim());
  if (login.credentials !== undefined) list.push(credsAuthenticator(encoder.encode(login.credentials)));
  if (login.userJwt !== undefined) list.push(jwtAuthenticator(login.userJwt.trim(), seed));
  else if (seed !== undefined) list.push(nkeyAuthenticator(seed));
  if (login.token !== undefined) list.push(tokenAuthenticator(login.token));
  if (login.user !== undefined) list.push(usernamePasswordAuthenticator(login.user, login.password));
  return list;
}

/** User and password, or token, in a URL. */
export function loginInUrl(url: string): NatsLogin | undefined {
  const { rest, at } = splitUrl(url);
  if (at < 0) return undefined;
  const [first = "", ...others] = rest.slice(0, at).split(":").map(decoded);
  return others.length === 0 ? { token: first } : { user: first, password: others.join(":") };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Error for a failed connection attempt. It names the servers, never a secret. */
export function connectionFailure(login: NatsLogin, cause: unknown): NexError {
  const servers = login.servers ?? [defaultServer];
  const where = servers.map(withoutSecrets).join(", ");
  const text = errorText(cause);
  const isRefused = /ECONNREFUSED|connection refused/.test(text);
  const { reason, advice } = tlsFailure(cause, tlsOptions(servers, login.tls)) ?? {
    reason: isRefused ? "connection refused, no server listens there" : text,
    advice:
      "Check that the server runs and that the login is correct, or start a server and a node with: nex up",
  };
  return new NexError("connection_failed", `Cannot connect to NATS at ${where}: ${reason}`, {
    // The cause of an invalid URL contains the URL with its password.
    ...(isBadUrl(cause) ? {} : { cause }),
    advice,
  });
}

function isBadUrl(cause: unknown): boolean {
  return cause instanceof TypeError && "code" in cause && cause.code === "ERR_INVALID_URL";
}

/** URL of a server without user, password and token. These may contain any character, including `@` and `/`. */
export function withoutSecrets(url: string): string {
  const { scheme, rest, at } = splitUrl(url);
  return `${scheme}${rest.slice(at + 1)}`;
}

/** @returns the parts, and the index of the last `@` in the rest, or −1. */
function splitUrl(url: string): { scheme: string; rest: string; at: number } {
  const scheme = /^[a-z][a-z0-9+.-]*:\/\//i.exec(url)?.[0] ?? "";
  const rest = url.slice(scheme.length);
  return { scheme, rest, at: rest.lastIndexOf("@") };
}
