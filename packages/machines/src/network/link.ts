import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { type Ipv4Network, ipv4Address, ipv4Number } from "../ipv4.ts";

/** How a machine with egress is connected: a pair of devices, and an address at each end. */
export interface EgressLink {
  /** The device on the host. */
  name: string;
  /** Its number, of which the kernel gives out no second one. */
  index: number;
  hostAddress: string;
  /** The machine's own address. */
  address: string;
}

/** The device in the machine, or in the network of its monitor. */
export const guestDevice = "eth0";
/** The device of a monitor, whose other end is the one in its machine. */
export const tapDevice = "tap0";
/**
 * The link-layer address of that device and of the one in the machine. Both have the same and resolve none: what either
 * sends is for the other, and there is no protocol by which a machine could say who it is.
 */
export const tapLinkAddress = "02:6e:65:78:00:01";
/** What an IPv4 router without an address of its own calls itself (RFC 7600): it says what is refused. */
const routerAddress = "192.0.0.8";
/** What the names of all such devices begin with, whichever node has made them. */
export const linkPrefix = "nex";

const nameDigits = 12;
const addressesPerLink = 2;

/** The name of a machine's device on the host, known from its id alone, and no other machine's. */
export function linkName(machineId: string): string {
  const digest = createHash("sha256").update(machineId).digest();
  const digits = digest.readBigUInt64BE().toString(36).padStart(nameDigits, "0");
  return `${linkPrefix}${digits.slice(-nameDigits)}`;
}

/** How many links a network has room for. */
export function linksIn({ prefixBits }: Ipv4Network): number {
  return Math.floor(2 ** (32 - prefixBits) / addressesPerLink);
}

/** One of the links for which a network has room; its number is made of its addresses, and so claims them. */
export function linkAt(network: Ipv4Network, slot: number, machineId: string): EgressLink {
  const first = ipv4Number(network.address) + slot * addressesPerLink;
  return {
    name: linkName(machineId),
    index: first / addressesPerLink,
    hostAddress: ipv4Address(first),
    address: ipv4Address(first + 1),
  };
}

/** The devices of the network namespace in which this process is. */
export function readLinks(): Set<string> {
  const lines = readFileSync("/proc/self/net/dev", "latin1").split("\n");
  return new Set(lines.flatMap((line) => /^\s*(\S+):/.exec(line)?.[1] ?? []));
}

/**
 * Makes a link, for `ip -batch`. The machine's end is made in the network of its first process, so that both ends go
 * with it, however it ends.
 */
export function hostEndCommands({ name, index, hostAddress }: EgressLink, pid: number): string {
  return batch([
    `link add ${name} index ${index} type veth peer name ${guestDevice} netns ${pid}`,
    ...withoutIpv6(name),
    `address add ${hostAddress}/31 dev ${name}`,
    `link set ${name} up`,
  ]);
}

/** Sets the machine's end up, for `ip -batch` in the machine's network. */
export function machineEndCommands({ hostAddress, address }: EgressLink): string[] {
  return [
    ...withoutIpv6(guestDevice),
    `address add ${address}/31 dev ${guestDevice}`,
    `link set ${guestDevice} up`,
    `route add default via ${hostAddress}`,
  ];
}

/**
 * Sets up the network of a monitor, for `ip -batch` in it: the machine's own address is behind its tap device.
 *
 * @param userId Who may open that device; without one, whoever may open `/dev/net/tun` there.
 */
export function monitorEndCommands({ hostAddress, address }: EgressLink, userId?: number): string[] {
  return [
    ...tapCommands(userId),
    ...withoutIpv6(tapDevice),
    ...withoutIpv6(guestDevice),
    // Of the scope of a link, so that it is no name for this network on other devices.
    `address add ${routerAddress}/32 dev ${tapDevice} scope link`,
    `link set ${tapDevice} address ${tapLinkAddress} arp off up`,
    `route add ${address}/32 dev ${tapDevice} src ${routerAddress}`,
    `link set ${guestDevice} up`,
    `route add ${hostAddress}/32 dev ${guestDevice}`,
    `route add default via ${hostAddress} dev ${guestDevice}`,
  ];
}

/** Makes the device of a monitor. */
export function tapCommands(userId?: number): string[] {
  return [`tuntap add dev ${tapDevice} mode tap${userId === undefined ? "" : ` user ${userId}`}`];
}

/**
 * What the kernel is told in the network of a monitor, by its places in `/proc/sys/net`: pass packets on, answer the
 * host for the machine's address at once, and tell the machine of everything that is refused.
 */
export const monitorSwitches: Readonly<Record<string, number>> = {
  "ipv4/ip_forward": 1,
  [`ipv4/conf/${guestDevice}/proxy_arp`]: 1,
  [`ipv4/neigh/${guestDevice}/proxy_delay`]: 0,
  "ipv4/icmp_ratemask": 0,
};

/** Sets what the kernel is told, for a shell with `-e`. */
export function switchScript(switches: Readonly<Record<string, number>>): string {
  return batch(Object.entries(switches).map(([place, value]) => `echo ${value} >/proc/sys/net/${place}`));
}

/** The commands as `ip -batch` and a shell read them. */
export function batch(commands: readonly string[]): string {
  return commands.map((command) => `${command}\n`).join("");
}

/** A device without any address of IPv6, which would come by itself. */
function withoutIpv6(device: string): string[] {
  return existsSync("/proc/net/if_inet6") ? [`link set ${device} addrgenmode none`] : [];
}
