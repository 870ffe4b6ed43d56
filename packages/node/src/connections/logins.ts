/** Logins of the connections in the configuration. */
import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { errorText, NexError } from "@nexengine/protocol/errors";
import { type RequestConnection, saysConnection } from "@nexengine/protocol/messages";
import { loginOfContext, type NatsLogin, splitUrls, tlsOfContext } from "@nexengine/protocol/nats";
import type { ConnectionConfig, Namespaces } from "../config/namespaces.ts";

/** Login of a namespace. */
export interface NamespaceLogin {
  login: NatsLogin;
  /** JetStream domain of its artifacts. */
  jsDomain: string | undefined;
}

/**
 * Logins of the listed namespaces; `undefined` for one without a connection.
 *
 * @param own The node's own login.
 * @throws NexError `config_invalid` where a file can't be read.
 */
export function namespaceLogins(
  namespaces: Namespaces,
  own: NatsLogin,
): Record<string, NamespaceLogin | undefined> {
  const logins = Object.entries(namespaces).map(([name, { connection }]) => [
    name,
    connection && {
      login: loginOfConnection(`namespaces.${name}.connection`, connection, own),
      jsDomain: connection.jetstream_domain || undefined,
    },
  ]);
  return Object.fromEntries(logins);
}

function loginOfConnection(key: string, connection: ConnectionConfig, own: NatsLogin): NatsLogin {
  const read = (path: string, what: string): string => {
    try {
      return readFileSync(expandHome(path), "utf8");
    } catch (cause) {
      throw new NexError(
        "config_invalid",
        `Cannot use the configuration: ${key}: ${what} "${path}" can't be read: ${errorText(cause)}`,
        { cause },
      );
    }
  };
  const isElsewhere = connection.url !== "";
  const servers = isElsewhere ? splitUrls(connection.url) : own.servers;
  const { ca, first } = isElsewhere ? {} : (own.tls ?? {});
  // Never the node's certificate: a server might take the connection for the node's own.
  const ofNode = { ...(ca === undefined ? {} : { ca }), ...(first === undefined ? {} : { first }) };
  const given = tlsOfContext(connection, read);
  const isTls = given !== undefined || (!isElsewhere && own.tls !== undefined);
  return {
    ...loginOfContext(connection, read),
    ...(servers === undefined ? {} : { servers }),
    ...(isTls ? { tls: { ...ofNode, ...given } } : {}),
    ...(connection.inbox_prefix === "" ? {} : { inboxPrefix: connection.inbox_prefix }),
  };
}

/** A path may start with `~`, as in a context file. */
function expandHome(path: string): string {
  return path === "~" || path.startsWith("~/") ? join(homedir(), path.slice(1)) : path;
}

/**
 * Login of the configuration's `host_services`; `undefined` when it names none.
 *
 * @param own The node's own login, whose servers and TLS are the defaults.
 */
export function hostServicesLogin(configured: RequestConnection, own: NatsLogin): NatsLogin | undefined {
  if (!saysConnection(configured)) return undefined;
  const { nats_url: url = "", nats_user_jwt: userJwt, nats_user_seed: nkeySeed } = configured;
  const servers = url === "" ? own.servers : splitUrls(url);
  return {
    ...(servers === undefined ? {} : { servers }),
    ...(own.tls === undefined ? {} : { tls: own.tls }),
    ...(userJwt ? { userJwt } : {}),
    ...(nkeySeed ? { nkeySeed } : {}),
  };
}
