/** How the NATS servers of a node are found in a machine: where its agent listens, and for which server. */
import { isIP } from "node:net";
import type { HostEntry } from "@nexengine/machines";
import type { RelayListen } from "@nexengine/protocol/internal";

/** As many 127.0.0.k as are given. */
const serversMax = 64;
const natsPort = 4222;
/** Names and addresses of a host for itself, which a machine has too. */
const ownAddresses: Readonly<Record<string, string>> = {
  localhost: "127.0.0.1",
  "0.0.0.0": "127.0.0.1",
  "::": "::1",
};
const webSocketPorts: Readonly<Record<string, number>> = { "ws:": 80, "wss:": 443 };

/** A server that the node dials for a machine. */
export interface RelayTarget {
  host: string;
  port: number;
}

/** What machine, agent and node each need to know. */
export interface RelayPlan {
  /** The only places that the node dials. */
  targets: RelayTarget[];
  listen: RelayListen[];
  /** For the machine's hosts file. */
  hosts: HostEntry[];
  /** For its loopback device. */
  loopbackAddresses: string[];
}

/**
 * Server k is found at 127.0.0.k with its own port, and server 1 as `localhost` too. A server that was given by its
 * name is found by its name, one that was given by its address at that address, whatever else would be there.
 *
 * @param urls The servers of the node's connection, in their order.
 */
export function planRelay(urls: readonly string[]): RelayPlan {
  const plan: RelayPlan = { targets: [], listen: [], hosts: [], loopbackAddresses: [] };
  const places = new Set<string>();
  const listen = (address: string, port: number, target: number): void => {
    const place = placeOf(address, port);
    if (places.has(place)) return;
    places.add(place);
    plan.listen.push({ address, port, target });
  };
  const servers = urls.slice(0, serversMax).flatMap((url) => parseServer(url) ?? []);
  plan.targets.push(...servers);
  for (const [at, { host, port }] of servers.entries()) {
    const address = addressOf(host);
    if (address === undefined) continue;
    listen(address, port, at);
    if (!isLoopback(address) && !plan.loopbackAddresses.includes(address)) {
      plan.loopbackAddresses.push(address);
    }
  }
  for (const [at, { host, port }] of servers.entries()) {
    const taken = places.has(placeOf(numbered(at), port));
    listen(numbered(at), port, at);
    if (addressOf(host) !== undefined) continue;
    const name = host.replace(/\.$/, "");
    const known = plan.hosts.find((entry) => entry.name === name);
    const address = known?.address ?? (taken ? `127.0.1.${at + 1}` : numbered(at));
    if (known === undefined) plan.hosts.push({ name, address });
    listen(address, port, at);
  }
  return plan;
}

/** Where the server with this place in the list is found, whatever it is called. */
function numbered(at: number): string {
  return `127.0.0.${at + 1}`;
}

function placeOf(address: string, port: number): string {
  return `${address} ${port}`;
}

/** Where a server is found that was given by an address; `undefined` for one that was given by its name. */
function addressOf(host: string): string | undefined {
  const address = ownAddresses[host] ?? host;
  return isIP(address) === 0 ? undefined : address;
}

/** Host and port of a server's URL, as nats.js reads it; `undefined` for what it could not connect to either. */
function parseServer(server: string): RelayTarget | undefined {
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

function isLoopback(address: string): boolean {
  return address.startsWith("127.") || address === "::1";
}
