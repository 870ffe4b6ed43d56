/** Names, addresses and commands of the link between a machine and its host. */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { type Ipv4Network, ipv4Address, ipv4Number } from "../ipv4.ts";

/** Link of a machine with egress: a pair of devices with an address at each end. */
export interface EgressLink {
  /** Name of the device on the host. */
  name: string;
  /** Interface index. The kernel gives each index only once, so it claims the addresses. */
  index: number;
  hostAddress: string;
  /** Address of the machine. */
  address: string;
}

/** Name of the device in the machine, or in the monitor's network. */
export const guestDevice = "eth0";
/** Name of the monitor's tap device. Its other end is the machine's device. */
export const tapDevice = "tap0";
/**
 * MAC address of the tap device and of the machine's device. Both use the same one and ARP is off: each end sends
 * only to the other, and the machine has no protocol to claim another identity.
 */
export const tapLinkAddress = "02:6e:65:78:00:01";
/** Source address of ICMP errors of an IPv4 router without its own address (RFC 7600). */
const routerAddress = "192.0.0.8";
/** Prefix of all device names of machines, for every node. */
export const linkPrefix = "nex";

const nameDigits = 12;
const addressesPerLink = 2;

/** Returns the name of a machine's device on the host. It depends only on the machine id. */
export function linkName(machineId: string): string {
  const digest = createHash("sha256").update(machineId).digest();
  const digits = digest.readBigUInt64BE().toString(36).padStart(nameDigits, "0");
  return `${linkPrefix}${digits.slice(-nameDigits)}`;
}

/** Number of links that fit in a network. */
export function linksIn({ prefixBits }: Ipv4Network): number {
  return Math.floor(2 ** (32 - prefixBits) / addressesPerLink);
}

/**
 * Returns the link in a slot of a network. Its interface index is derived from its addresses and thus reserves them.
 */
export function linkAt(network: Ipv4Network, slot: number, machineId: string): EgressLink {
  const first = ipv4Number(network.address) + slot * addressesPerLink;
  return {
    name: linkName(machineId),
    index: first / addressesPerLink,
    hostAddress: ipv4Address(first),
    address: ipv4Address(first + 1),
  };
}

/** Lists the network devices in the namespace of this process. */
export function readLinks(): Set<string> {
  const lines = readFileSync("/proc/self/net/dev", "latin1").split("\n");
  return new Set(lines.flatMap((line) => /^\s*(\S+):/.exec(line)?.[1] ?? []));
}

/**
 * Commands for `ip -batch` that create a link. The machine's end is created in the network of its first process, so
 * that the kernel removes both ends with it.
 */
export function hostEndCommands({ name, index, hostAddress }: EgressLink, pid: number): string {
  return batch([
    `link add ${name} index ${index} type veth peer name ${guestDevice} netns ${pid}`,
    ...withoutIpv6(name),
    `address add ${hostAddress}/31 dev ${name}`,
    `link set ${name} up`,
  ]);
}

/** Commands for `ip -batch` in the machine's network that set up its end. */
export function machineEndCommands({ hostAddress, address }: EgressLink): string[] {
  return [
    ...withoutIpv6(guestDevice),
    `address add ${address}/31 dev ${guestDevice}`,
    `link set ${guestDevice} up`,
    `route add default via ${hostAddress}`,
  ];
}

/**
 * Commands for `ip -batch` that set up a monitor's network. The machine's address is routed to its tap device.
 *
 * @param userId User that may open the tap device; by default, every user who may open `/dev/net/tun`.
 */
export function monitorEndCommands({ hostAddress, address }: EgressLink, userId?: number): string[] {
  return [
    ...tapCommands(userId),
    ...withoutIpv6(tapDevice),
    ...withoutIpv6(guestDevice),
    // Link scope keeps the kernel from using this address on other devices.
    `address add ${routerAddress}/32 dev ${tapDevice} scope link`,
    `link set ${tapDevice} address ${tapLinkAddress} arp off up`,
    `route add ${address}/32 dev ${tapDevice} src ${routerAddress}`,
    `link set ${guestDevice} up`,
    `route add ${hostAddress}/32 dev ${guestDevice}`,
    `route add default via ${hostAddress} dev ${guestDevice}`,
  ];
}

/** Commands that create the monitor's tap device. */
export function tapCommands(userId?: number): string[] {
  return [`tuntap add dev ${tapDevice} mode tap${userId === undefined ? "" : ` user ${userId}`}`];
}

/**
 * Sysctls in a monitor's network, by path below `/proc/sys/net`: forward packets, answer ARP for the machine's
 * address immediately, and send every ICMP error without rate limiting.
 */
export const monitorSwitches: Readonly<Record<string, number>> = {
  "ipv4/ip_forward": 1,
  [`ipv4/conf/${guestDevice}/proxy_arp`]: 1,
  [`ipv4/neigh/${guestDevice}/proxy_delay`]: 0,
  "ipv4/icmp_ratemask": 0,
};

/** Shell script that sets sysctls; run it with `-e`. */
export function switchScript(switches: Readonly<Record<string, number>>): string {
  return batch(Object.entries(switches).map(([place, value]) => `echo ${value} >/proc/sys/net/${place}`));
}

/** Joins commands for `ip -batch` or a shell. */
export function batch(commands: readonly string[]): string {
  return commands.map((command) => `${command}\n`).join("");
}

/** Commands for a device without automatic IPv6 addresses. */
function withoutIpv6(device: string): string[] {
  return existsSync("/proc/net/if_inet6") ? [`link set ${device} addrgenmode none`] : [];
}
