/** Parses the address in a server URL. */

const natsPort = 4222;
const webSocketPorts: Readonly<Record<string, number>> = { "ws:": 80, "wss:": 443 };

/** Host and port of a server. */
export interface ServerAddress {
  host: string;
  port: number;
}

/** Host and port of a server URL, parsed as nats.js does; `undefined` if nats.js could not connect to it. */
export function parseServer(server: string): ServerAddress | undefined {
  const scheme = /^[a-z]+:(?=\/\/)/i.exec(server)?.[0].toLowerCase();
  const rest = server
    .replace(/^[a-z]+:\/\//i, "")
    .replace(/\[?::ffff:(\d+(?:\.\d+){3})\]?/i, (_, v4: string) => v4);
  const web = webSocketPorts[scheme ?? ""];
  try {
    const host = new URL(`http://${rest}`).hostname.replace(/^\[|\]$/g, "");
    // `nats:` has no default port, so the parser keeps the port as given.
    const url = new URL(`nats://${rest}`);
    if (host === "") return undefined;
    return { host, port: url.port === "" ? (web ?? natsPort) : Number(url.port) };
  } catch {
    return undefined;
  }
}
