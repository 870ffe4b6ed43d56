/**
 * The addresses that are not of the outside: whoever answers for a name would choose which of them is reached. One
 * list for the requests that a node makes and for the networks of machines.
 */
import { BlockList, isIPv6 } from "node:net";
import { networkInterfaces } from "node:os";
import { type Ipv4Network, ipv4First, ipv4Within, parseIpv4Network } from "./ipv4.ts";

/** Where clouds keep the secrets of their hosts, and services that trust whoever is on the host. */
const metadata: readonly string[] = [
  "169.254.169.254/32",
  "169.254.169.253/32",
  "169.254.169.123/32",
  "169.254.170.2/32",
  "169.254.170.23/32",
  "100.100.100.200/32",
  "168.63.129.16/32",
  "192.0.0.192/32",
  "fd00:ec2::/64",
  "fd20:ce::254/128",
];

/** Loopback, links, private and shared networks, groups, and what carries another address within it. */
const inside: readonly string[] = [
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.88.99.0/24",
  "192.168.0.0/16",
  "198.18.0.0/15",
  "224.0.0.0/4",
  "240.0.0.0/4",
  // Loopback, and IPv4 addresses in an old form; those of the usual form are judged as IPv4 addresses.
  "::/96",
  // Translated to IPv4 (NAT64).
  "64:ff9b::/96",
  "64:ff9b:1::/48",
  "100::/64",
  // Of protocols, with Teredo (2001::/32), which carries IPv4.
  "2001::/23",
  // 6to4, which carries IPv4.
  "2002::/16",
  "5f00::/16",
  "fc00::/7",
  "fe80::/10",
  // Of a site, from before there were unique local addresses.
  "fec0::/10",
  "ff00::/8",
];

const familyOf = (address: string): "ipv4" | "ipv6" => (isIPv6(address) ? "ipv6" : "ipv4");

function blockList(networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const network of networks) {
    const [address = "", bits] = network.split("/");
    list.addSubnet(address, Number(bits), familyOf(address));
  }
  return list;
}

const metadataList = blockList(metadata);
const insideList = blockList([...metadata, ...inside]);

/** Is this an address by which a cloud gives its host secrets? */
export function isMetadata(address: string): boolean {
  return metadataList.check(address, familyOf(address));
}

/** Is an address of a special range, or one of this host's own, whatever range that is in? */
export function isInside(address: string): boolean {
  return insideList.check(address, familyOf(address)) || isOwn(address);
}

function isOwn(address: string): boolean {
  const own = new BlockList();
  for (const entry of Object.values(networkInterfaces()).flatMap((found) => found ?? []))
    own.addAddress(entry.address, familyOf(entry.address));
  return own.check(address, familyOf(address));
}

/** The IPv4 networks that this host is in, without its loopback. */
export function hostNetworks(): Ipv4Network[] {
  return Object.values(networkInterfaces())
    .flatMap((found) => found ?? [])
    .flatMap(({ family, internal, address, cidr }) => {
      const prefixBits = Number(cidr?.split("/")[1] ?? 32);
      return family === "IPv4" && !internal ? [{ address: ipv4First(address, prefixBits), prefixBits }] : [];
    });
}

const ipv4Of = (networks: readonly string[]): Ipv4Network[] =>
  networks.flatMap((text) => parseIpv4Network(text) ?? []);

/**
 * The IPv4 networks that are reached by a target within one only, never by a wider target. Narrow ones first, so that a
 * rule for a network stands before one for the network around it.
 */
export function guardedNetworks(host: readonly Ipv4Network[]): Ipv4Network[] {
  const all = [...ipv4Of(metadata), ...host, ...ipv4Of(inside)];
  const texts = new Map(all.map((network) => [`${network.address}/${network.prefixBits}`, network]));
  return [...texts.values()].sort((one, other) => other.prefixBits - one.prefixBits);
}

/**
 * The network that an operator must name before a machine reaches a target: metadata, or one of the host's own.
 *
 * @returns `undefined` for a target in neither.
 */
export function networkToName(
  target: Ipv4Network,
  host: readonly Ipv4Network[],
): (Ipv4Network & { metadata: boolean }) | undefined {
  const of = (networks: readonly Ipv4Network[], isOfMetadata: boolean) => {
    const found = networks.find((network) => ipv4Within(target, network));
    return found && { ...found, metadata: isOfMetadata };
  };
  return of(ipv4Of(metadata), true) ?? of(host, false);
}

/** Is a whole network in one special range? */
export function isInsideNetwork(network: Ipv4Network): boolean {
  return ipv4Of(inside).some((range) => ipv4Within(network, range));
}
