/** The logins of the connections that a node's configuration names. */
import { type NatsLogin, type RequestConnection, saysConnection } from "@nexengine/protocol/internal";

/**
 * The login of the configuration's `host_services`; `undefined` where that names none.
 *
 * @param own The node's own, whose servers and TLS count where nothing else is said.
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

/** A URL may be several, with commas. */
function splitUrls(urls: string): string[] {
  return urls.split(",").flatMap((url) => url.trim() || []);
}
