/** Where a machine finds the node's NATS servers: the addresses on which its agent listens, and the server behind each. */
import { isIP } from "node:net";
import type { HostEntry } from "@nexengine/machines";
import type { RelayListen } from "@nexengine/protocol/agent";
import { parseServer, type ServerAddress } from "@nexengine/protocol/nats";

/** Maximum number of servers: one 127.0.0.k for each. */
const serversMax = 64;
/** Names and addresses that mean the host itself, in a machine too. */
const ownAddresses: Readonly<Record<string, string>> = {
  localhost: "127.0.0.1",
  "0.0.0.0": "127.0.0.1",
  "::": "::1",
};

/** A server that the node dials for a machine. */
export type RelayTarget = ServerAddress;

/** The plan, as machine, agent and node need it. */
export interface RelayPlan {
  /** The only addresses that the node dials. */
  targets: RelayTarget[];
  listen: RelayListen[];
  /** Entries of the machine's hosts file. */
  hosts: HostEntry[];
  /** Addresses of the machine's loopback device. */
  loopbackAddresses: string[];
}

/**
 * Server k is at 127.0.0.k with its own port; server 1 is also `localhost`. A server given by name is found by its name,
 * and one given by address at that address.
 *
 * @param urls Servers of the node's connection, in order.
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

/** Address of the server with this index. */
function numbered(at: number): string {
  return `127.0.0.${at + 1}`;
}

function placeOf(address: string, port: number): string {
  return `${address} ${port}`;
}

/** Address of a server that was given by address; `undefined` for one given by name. */
function addressOf(host: string): string | undefined {
  const address = ownAddresses[host] ?? host;
  return isIP(address) === 0 ? undefined : address;
}

function isLoopback(address: string): boolean {
  return address.startsWith("127.") || address === "::1";
}
