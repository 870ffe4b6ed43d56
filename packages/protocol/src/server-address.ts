/** The address in a server's URL. */

const natsPort = 4222;
const webSocketPorts: Readonly<Record<string, number>> = { "ws:": 80, "wss:": 443 };

/** Where a server is. */
export interface ServerAddress {
  host: string;
  port: number;
}

/** Host and port of a server's URL, as nats.js reads it; `undefined` for what it could not connect to either. */
export function parseServer(server: string): ServerAddress | undefined {
  const scheme = /^[a-z]+:(?=\/\/)/i.exec(server)?.[0].toLowerCase();
  const rest = server
    .replace(/^[a-z]+:\/\//i, "")
    .replace(/\[?::ffff:(\d+(?:\.\d+){3})\]?/i, (_, v4: string) => v4);
  const web = webSocketPorts[scheme ?? ""];
  try {
    const host = new URL(`http://${rest}`).hostname.replace(/^\[|\]$/g, "");
    // With a scheme that has no default port, none is taken away.
    const url = new URL(`nats://${rest}`);
    if (host === "") return undefined;
    return { host, port: url.port === "" ? (web ?? natsPort) : Number(url.port) };
  } catch {
    return undefined;
  }
}
