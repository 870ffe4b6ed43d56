/** How the NATS servers of a node are found in a machine: where its agent listens, and for which server. */
import { isIP } from "node:net";
import type { HostEntry } from "@nexengine/machines";
import type { RelayListen } from "@nexengine/protocol/internal";

/** As many 127.0.0.k as are given. */
const serversMax = 64;
const natsPort = 4222;
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
 * name is found by its name, one that was given by its address at that address.
 *
 * @param servers The URLs of the node's connection, in their order.
 */
export function planRelay(servers: readonly string[]): RelayPlan {
  const plan: RelayPlan = { targets: [], listen: [], hosts: [], loopbackAddresses: [] };
  const places = new Set<string>();
  const listen = (address: string, port: number, target: number): void => {
    const place = `${address} ${port}`;
    if (places.has(place)) return;
    places.add(place);
    plan.listen.push({ address, port, target });
  };
  for (const server of servers.slice(0, serversMax)) {
    const target = parseServer(server);
    if (target === undefined) continue;
    const at = plan.targets.push(target) - 1;
    const { host, port } = target;
    const own = `127.0.0.${at + 1}`;
    listen(own, port, at);
    const kind = isIP(host);
    if (kind === 0 && host !== "localhost") {
      if (!plan.hosts.some(({ name }) => name === host)) plan.hosts.push({ name: host, address: own });
      else listen(plan.hosts.find(({ name }) => name === host)?.address ?? own, port, at);
      continue;
    }
    const address = host === "localhost" ? "127.0.0.1" : host;
    listen(address, port, at);
    if (kind !== 0 && !isLoopback(address) && !plan.loopbackAddresses.includes(address)) {
      plan.loopbackAddresses.push(address);
    }
  }
  return plan;
}

/** Host and port of a server's URL, as nats.js reads it; `undefined` for what it could not connect to either. */
function parseServer(server: string): RelayTarget | undefined {
  const scheme = /^[a-z]+:(?=\/\/)/i.exec(server)?.[0].toLowerCase();
  const web = webSocketPorts[scheme ?? ""];
  try {
    // With a scheme that has no default port, none is taken away.
    const url = new URL(server.replace(/^(?:[a-z]+:\/\/)?/i, "nats://"));
    const host = url.hostname.replace(/^\[|\]$/g, "").toLowerCase();
    if (host === "") return undefined;
    return { host, port: url.port === "" ? (web ?? natsPort) : Number(url.port) };
  } catch {
    return undefined;
  }
}

function isLoopback(address: string): boolean {
  return address.startsWith("127.") || address === "::1";
}
