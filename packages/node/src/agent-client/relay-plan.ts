/** How the NATS servers of a node are found in a machine: where its agent listens, and for which server. */
import { isIP } from "node:net";
import type { HostEntry } from "@nexengine/machines";
import { parseServer, type RelayListen, type ServerAddress } from "@nexengine/protocol/internal";

/** As many 127.0.0.k as are given. */
const serversMax = 64;
/** Names and addresses of a host for itself, which a machine has too. */
const ownAddresses: Readonly<Record<string, string>> = {
  localhost: "127.0.0.1",
  "0.0.0.0": "127.0.0.1",
  "::": "::1",
};

/** A server that the node dials for a machine. */
export type RelayTarget = ServerAddress;

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

function isLoopback(address: string): boolean {
  return address.startsWith("127.") || address === "::1";
}
