/**
 * Special-purpose addresses that a DNS answer must not make reachable. The node's own HTTP requests and the machines'
 * networks share this list.
 */
import { BlockList, isIPv6 } from "node:net";
import { networkInterfaces } from "node:os";
import { type Ipv4Network, ipv4First, ipv4Within, parseIpv4Network } from "./ipv4.ts";

/** Addresses of cloud metadata services, which hand out credentials to any client on the host. */
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

/** Networks behind a router of their owner: private, shared and unique-local ones. */
const privateNetworks: readonly string[] = [
  "10.0.0.0/8",
  "100.64.0.0/10",
  "172.16.0.0/12",
  "192.168.0.0/16",
  "fc00::/7",
];

/** Loopback, link-local and multicast ranges, and IPv6 ranges that embed IPv4 addresses. */
const inside: readonly string[] = [
  ...privateNetworks,
  "0.0.0.0/8",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "192.0.0.0/24",
  "192.88.99.0/24",
  "198.18.0.0/15",
  "224.0.0.0/4",
  "240.0.0.0/4",
  // Loopback and IPv4-compatible addresses. IPv4-mapped addresses are checked as IPv4.
  "::/96",
  // NAT64 prefixes, translated to IPv4.
  "64:ff9b::/96",
  "64:ff9b:1::/48",
  "100::/64",
  // IETF protocol assignments, including Teredo (2001::/32), which carries IPv4.
  "2001::/23",
  // 6to4, which carries IPv4.
  "2002::/16",
  "5f00::/16",
  "fe80::/10",
  // Deprecated site-local addresses.
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
const privateList = blockList(privateNetworks);

/** Reports whether the address belongs to a cloud metadata service. */
export function isMetadata(address: string): boolean {
  return metadataList.check(address, familyOf(address));
}

/** Reports whether the address is in a special range or assigned to this host. */
export function isInside(address: string): boolean {
  return insideList.check(address, familyOf(address)) || isOwn(address);
}

/** Reports whether the address leads to this host, its link or a metadata service. Private networks do not. */
export function isOfHost(address: string): boolean {
  if (isOwn(address) || isMetadata(address)) return true;
  return isInside(address) && !privateList.check(address, familyOf(address));
}

function isOwn(address: string): boolean {
  const own = new BlockList();
  for (const entry of Object.values(networkInterfaces()).flatMap((found) => found ?? []))
    own.addAddress(entry.address, familyOf(entry.address));
  return own.check(address, familyOf(address));
}

/** Returns the IPv4 networks of this host's interfaces, except loopback. */
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
 * Returns the IPv4 networks that a target must name explicitly; a wider target does not include them. Narrow networks
 * come first, so that their rules precede the rules of networks that contain them.
 */
export function guardedNetworks(host: readonly Ipv4Network[]): Ipv4Network[] {
  const all = [...ipv4Of(metadata), ...host, ...ipv4Of(inside)];
  const texts = new Map(all.map((network) => [`${network.address}/${network.prefixBits}`, network]));
  return [...texts.values()].sort((one, other) => other.prefixBits - one.prefixBits);
}

/**
 * Returns the metadata or host network that an operator must allow by name before a machine may reach the target.
 *
 * @returns `undefined` if the target is in neither.
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

/** Reports whether a network lies entirely within one special range. */
export function isInsideNetwork(network: Ipv4Network): boolean {
  return ipv4Of(inside).some((range) => ipv4Within(network, range));
}
