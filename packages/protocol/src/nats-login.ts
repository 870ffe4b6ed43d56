/** How one logs in to NATS: the same for nodes and clients. Opens no connection itself. */
import {
  type Authenticator,
  type ConnectionOptions,
  credsAuthenticator,
  jwtAuthenticator,
  nkeyAuthenticator,
  tokenAuthenticator,
  usernamePasswordAuthenticator,
} from "@nats-io/nats-core";
import { errorText, NexError } from "./errors.ts";
import { type NatsTls, tlsFailure, tlsOptions } from "./nats-tls.ts";

/** How to log in; the secrets are contents, never paths. */
export interface NatsLogin {
  /** URLs; `nats://127.0.0.1:4222` when absent. User and password, or a token, in one of them count when none is given
   * beside. */
  servers?: string[];
  user?: string;
  password?: string;
  token?: string;
  /** The seed of an nkey. */
  nkeySeed?: string;
  /** The content of a credentials file. */
  credentials?: string;
  /** A user's JWT; without an nkey's seed it must be a bearer one. */
  userJwt?: string;
  tls?: NatsTls;
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
    pingInterval: pingIntervalMs,
  };
}

function authenticators(login: NatsLogin): Authenticator[] {
  const list = givenAuthenticators(login);
  if (list.length > 0) return list;
  // The NATS client passes over what stands in a URL.
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

/** User and password, or the token, that stand in a URL. */
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

/** What to throw when connecting failed; names the servers, never a secret. */
export function connectionFailure(login: NatsLogin, cause: unknown): NexError {
  const servers = login.servers ?? [defaultServer];
  const where = servers.map(withoutSecrets).join(", ");
  const text = errorText(cause);
  const isRefused = /ECONNREFUSED|connection refused/.test(text);
  const { reason, advice } = tlsFailure(cause, tlsOptions(servers, login.tls)) ?? {
    reason: isRefused ? "connection refused, nothing listens there" : text,
    advice: "Check that the server runs and that the login is right, or start everything with: nex up",
  };
  return new NexError("connection_failed", `Cannot connect to NATS at ${where}: ${reason}`, {
    // What can't be read as a URL is a member of the cause, password and all.
    ...(isBadUrl(cause) ? {} : { cause }),
    advice,
  });
}

function isBadUrl(cause: unknown): boolean {
  return cause instanceof TypeError && "code" in cause && cause.code === "ERR_INVALID_URL";
}

/** A server's URL without user, password and token, which may hold any character, `@` and `/` too. */
export function withoutSecrets(url: string): string {
  const { scheme, rest, at } = splitUrl(url);
  return `${scheme}${rest.slice(at + 1)}`;
}

/** @returns also where the last `@` of the rest is, or −1. */
function splitUrl(url: string): { scheme: string; rest: string; at: number } {
  const scheme = /^[a-z][a-z0-9+.-]*:\/\//i.exec(url)?.[0] ?? "";
  const rest = url.slice(scheme.length);
  return { scheme, rest, at: rest.lastIndexOf("@") };
}
