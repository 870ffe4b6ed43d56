import { isIPv4 } from "node:net";

/** A network of IPv4, or one address with 32 bits. */
export interface Ipv4Network {
  address: string;
  prefixBits: number;
}

/** The number of an address. Only for what is one. */
export function ipv4Number(address: string): number {
  return address.split(".").reduce((number, part) => number * 256 + Number(part), 0);
}

/** The address of a number. */
export function ipv4Address(number: number): string {
  return [24, 16, 8, 0].map((shift) => (number >>> shift) & 0xff).join(".");
}

/** The first address of the network of so many bits in which an address is. */
export function ipv4First(address: string, prefixBits: number): string {
  const size = 2 ** (32 - prefixBits);
  return ipv4Address(Math.floor(ipv4Number(address) / size) * size);
}

/** Is a network, or an address, wholly in another network? */
export function ipv4Within({ address, prefixBits }: Ipv4Network, outer: Ipv4Network): boolean {
  return prefixBits >= outer.prefixBits && ipv4First(address, outer.prefixBits) === outer.address;
}

/** Reads `10.0.0.0/8`. */
export function parseIpv4Network(text: string): Ipv4Network | undefined {
  const [, address = "", bits = ""] = /^([\d.]+)\/(\d{1,2})$/.exec(text) ?? [];
  const prefixBits = Number(bits);
  if (!isIPv4(address) || prefixBits > 32 || ipv4First(address, prefixBits) !== address) return undefined;
  return { address, prefixBits };
}
