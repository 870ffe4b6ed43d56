/** IPv4 addresses and networks as numbers. */
import { isIPv4 } from "node:net";

/** An IPv4 network, or a single address if `prefixBits` is 32. */
export interface Ipv4Network {
  address: string;
  prefixBits: number;
}

/** Converts a valid IPv4 address to a number. */
export function ipv4Number(address: string): number {
  return address.split(".").reduce((number, part) => number * 256 + Number(part), 0);
}

/** Converts a number to an IPv4 address. */
export function ipv4Address(number: number): string {
  return [24, 16, 8, 0].map((shift) => (number >>> shift) & 0xff).join(".");
}

/** Returns the first address of the network that contains `address`. */
export function ipv4First(address: string, prefixBits: number): string {
  const size = 2 ** (32 - prefixBits);
  return ipv4Address(Math.floor(ipv4Number(address) / size) * size);
}

/** Reports whether a network lies entirely within another network. */
export function ipv4Within({ address, prefixBits }: Ipv4Network, outer: Ipv4Network): boolean {
  return prefixBits >= outer.prefixBits && ipv4First(address, outer.prefixBits) === outer.address;
}

/** Parses a network in CIDR notation, such as `10.0.0.0/8`. */
export function parseIpv4Network(text: string): Ipv4Network | undefined {
  const [, address = "", bits = ""] = /^([\d.]+)\/(\d{1,2})$/.exec(text) ?? [];
  const prefixBits = Number(bits);
  if (!isIPv4(address) || prefixBits > 32 || ipv4First(address, prefixBits) !== address) return undefined;
  return { address, prefixBits };
}
