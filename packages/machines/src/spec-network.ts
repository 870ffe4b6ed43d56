import { isIP, isIPv4 } from "node:net";
import type { EgressTarget, HostEntry, MachineSpec } from "./driver.ts";
import { ipv4First, ipv4Number } from "./ipv4.ts";

const hostsMax = 256;
const loopbackAddressesMax = 64;
const egressMax = 256;
const nameCharactersMax = 253;
const portMax = 65_535;
// Underscores anywhere: networks of containers have them in their names.
const nameForm = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$/;

type NetworkOrder = Pick<MachineSpec, "network" | "hosts" | "loopbackAddresses" | "egress">;

/** Says what of an order's network no driver can give, if there is something. */
export function networkRefusal(order: NetworkOrder): string | undefined {
  return (
    hostsRefusal(order.hosts ?? []) ?? loopbackRefusal(order.loopbackAddresses ?? []) ?? egressRefusal(order)
  );
}

/** The addresses that a machine's loopback device does not answer to by itself, each once. */
export function furtherLoopbackAddresses(addresses: readonly string[] = []): string[] {
  return [...new Set(addresses)].filter((address) => !address.startsWith("127.") && address !== "::1");
}

function hostsRefusal(hosts: readonly HostEntry[]): string | undefined {
  if (hosts.length > hostsMax) return `it names ${hosts.length} hosts, and ${hostsMax} is the most`;
  for (const { name, address } of hosts) {
    if (name.length > nameCharactersMax || !nameForm.test(name)) {
      return `${JSON.stringify(name)} is no host name; write it in lower case, as DNS has it`;
    }
    if (name === "localhost") return 'the host name "localhost" is the machine\'s own';
    if (!isAddress(address)) return `the host "${name}" has no IP address but ${JSON.stringify(address)}`;
  }
  return undefined;
}

function loopbackRefusal(addresses: readonly string[]): string | undefined {
  if (addresses.length > loopbackAddressesMax) {
    return `it has ${addresses.length} loopback addresses, and ${loopbackAddressesMax} is the most`;
  }
  const unfit = addresses.find((address) => !isAddress(address) || !isOfOneHost(address));
  return unfit === undefined ? undefined : `${JSON.stringify(unfit)} is no IP address of one host`;
}

function egressRefusal({ network, egress = [] }: NetworkOrder): string | undefined {
  if (network !== "egress") {
    return egress.length === 0 ? undefined : `it lists egress targets, and its network is "${network}"`;
  }
  if (egress.length === 0) {
    return 'its network is "egress", and no target is listed; order "nats" or "none" for a machine that reaches none';
  }
  if (egress.length > egressMax)
    return `it lists ${egress.length} egress targets, and ${egressMax} is the most`;
  const unfit = egress.find((target) => !isTarget(target));
  return (
    unfit &&
    `${JSON.stringify(unfit)} is no egress target; it has the first address of its network, and a port`
  );
}

function isTarget({ address, prefixBits, port }: EgressTarget): boolean {
  if (!Number.isInteger(port) || port < 1 || port > portMax) return false;
  if (!isAddress(address) || !Number.isInteger(prefixBits) || prefixBits < 0) return false;
  if (!isIPv4(address)) return prefixBits <= 128;
  return prefixBits <= 32 && ipv4First(address, prefixBits) === address;
}

/** An address by itself, without the name of a link behind it. */
function isAddress(address: string): boolean {
  return isIP(address) !== 0 && !address.includes("%");
}

/** No network, no group, and not "any". */
function isOfOneHost(address: string): boolean {
  if (!isIPv4(address)) return !/^(ff|::$|::ffff:|[0:]+$)/i.test(address);
  const first = Math.floor(ipv4Number(address) / 2 ** 24);
  return first > 0 && first < 224;
}
