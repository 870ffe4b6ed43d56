/** A per-request connection: where it may lead, and how it is opened. */
import { lookup } from "node:dns/promises";
import { isIP, isIPv6 } from "node:net";
import { checkServerIdentity, type PeerCertificate } from "node:tls";
import { isDeepStrictEqual } from "node:util";
import type { ConnectionOptions, NatsConnection } from "@nats-io/nats-core";
import { isOfHost } from "@nexengine/machines";
import { NexError } from "@nexengine/protocol/errors";
import type { RequestConnection } from "@nexengine/protocol/messages";
import {
  connectionFailure,
  connectionOptions,
  defaultServer,
  loginInUrl,
  type NatsLogin,
  parseServer,
  type ServerAddress,
  withoutSecrets,
} from "@nexengine/protocol/nats";
import { connectWithin } from "./connect.ts";

/** Servers that a request may name. */
export type RequestConnections = "node-servers" | "any";

/** Maximum number of servers. */
const serversMax = 16;

/** A checked per-request connection. */
export interface PerRequestConnection {
  /** Member of the request. */
  what: PerRequestConnectionName;
  /** Servers of the node, in the node's spelling. */
  login: NatsLogin & { servers: string[] };
  /** Other servers, where a request may name any. */
  others: readonly { address: ServerAddress; tls: boolean }[];
}

export type PerRequestConnectionName = "trigger_connection" | "host_services";

/**
 * Checks the servers of a per-request connection. Nothing is resolved, and only the node's own spelling of its servers
 * is dialled, so that two parsers cannot read a URL differently.
 *
 * It gets the certificate authorities of the node's TLS, but never the node's certificate.
 *
 * @param node The namespace's usual login.
 * @throws NexError `connection_not_allowed`
 */
export function planPerRequestConnection(
  what: PerRequestConnectionName,
  connection: RequestConnection,
  node: NatsLogin,
  policy: RequestConnections,
): PerRequestConnection {
  const servers = (node.servers ?? [defaultServer]).map(withoutSecrets);
  const urls = (connection.nats_url ?? "").split(",").flatMap((url) => url.trim() || []);
  if (urls.length > serversMax) throw notAllowed(what, `it names more than ${serversMax} servers`);
  const known = urls.length === 0 ? servers : [];
  const others: { address: ServerAddress; tls: boolean }[] = [];
  for (const url of urls.map(withoutSecrets)) {
    const address = parseServer(url);
    if (address === undefined || /^(?!nats:|tls:)[a-z]+:\/\//i.test(url)) {
      throw notAllowed(what, "its URL is not one of a NATS server (nats:// or tls://)");
    }
    const found = servers.find((server) => isDeepStrictEqual(parseServer(server), address));
    if (found !== undefined) known.push(found);
    else if (policy === "any") others.push({ address, tls: /^tls:/i.test(url) });
    else {
      throw notAllowed(
        what,
        "it names a server that is not one of those by which the node serves this namespace",
      );
    }
  }
  const { ca, first } = node.tls ?? {};
  const tls = { ...(ca === undefined ? {} : { ca }), ...(first === undefined ? {} : { first }) };
  return {
    what,
    login: {
      ...secretsOf(connection, urls),
      name: `nex-${what}`,
      servers: known,
      ...(node.tls === undefined ? {} : { tls }),
    },
    others,
  };
}

/** The JWT and seed of a user, or the login in a URL. */
function secretsOf({ nats_user_jwt, nats_user_seed }: RequestConnection, urls: readonly string[]): NatsLogin {
  if (nats_user_jwt || nats_user_seed) {
    return {
      ...(nats_user_jwt ? { userJwt: nats_user_jwt } : {}),
      ...(nats_user_seed ? { nkeySeed: nats_user_seed } : {}),
    };
  }
  return urls.map(loginInUrl).find((found) => found !== undefined) ?? {};
}

/**
 * Opens it. Servers that are announced by the server are ignored, so that it cannot lead elsewhere.
 *
 * @throws NexError `connection_failed`, `connection_not_allowed`
 */
export async function openPerRequestConnection(
  own: PerRequestConnection,
  timeMs: number,
): Promise<NatsConnection> {
  const { what, others } = own;
  const places = others.map(({ address: { host, port } }) => `${host}:${port}`);
  const login = { ...own.login, servers: [...own.login.servers, ...places] };
  const fixed = { ignoreClusterUpdates: true };
  try {
    const changes =
      others.length === 0 ? fixed : optionsOfOthers(own).then((more) => ({ ...more, ...fixed }));
    return await connectWithin(login, timeMs, changes);
  } catch (error) {
    if (error instanceof NexError && error.code === "connection_not_allowed") throw error;
    // The cause may hold secrets, so only its text is kept.
    const { message } = error instanceof NexError ? error : connectionFailure(login, error);
    throw new NexError("connection_failed", `Failed to deploy workload: ${what}: ${message}`);
  }
}

/**
 * Replaces names by the checked addresses: a name could resolve to another address the next time.
 *
 * @throws NexError `connection_not_allowed`
 */
async function optionsOfOthers({ what, login, others }: PerRequestConnection): Promise<ConnectionOptions> {
  const servers: string[] = [...login.servers];
  for (const { address } of others) {
    const found = await lookup(address.host, { all: true });
    for (const { address: ip } of found.slice(0, serversMax)) {
      if (isOfHost(ip)) {
        throw notAllowed(
          what,
          `"${address.host}" is an address of the node's host, of its link, or of a cloud's metadata`,
        );
      }
      servers.push(isIPv6(ip) ? `[${ip}]:${address.port}` : `${ip}:${address.port}`);
    }
  }
  const names = others.map(({ address }) => address.host);
  const needsTls = login.tls !== undefined || others.some(({ tls }) => tls);
  const { ca, first } = login.tls ?? {};
  return {
    ...connectionOptions({ ...login, servers }),
    ...(needsTls
      ? {
          tls: {
            ...(ca === undefined ? {} : { ca }),
            ...(first === true ? { handshakeFirst: true } : {}),
            ...identityOf(names),
          },
        }
      : {}),
  };
}

/** The certificate must match one of the names in the request, not an address found for it. */
function identityOf(names: readonly string[]): object {
  const [servername = ""] = names;
  return {
    ...(isIP(servername) === 0 ? { servername } : {}),
    checkServerIdentity: (_host: string, certificate: PeerCertificate) => {
      const refused = names.map((name) => checkServerIdentity(name, certificate));
      return refused.includes(undefined) ? undefined : refused[0];
    },
  };
}

function notAllowed(what: PerRequestConnectionName, why: string): NexError {
  return new NexError("connection_not_allowed", `Cannot use the request's ${what}: ${why}`, {
    advice: "Name a server as the node's configuration does, or leave the URL empty",
  });
}
