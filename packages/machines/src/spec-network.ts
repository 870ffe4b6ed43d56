/** Checks the network of a spec. */
import { isIP, isIPv4 } from "node:net";
import type { EgressTarget, HostEntry, MachineSpec } from "./driver.ts";
import { ipv4First, ipv4Number } from "./ipv4.ts";

const hostsMax = 256;
const loopbackAddressesMax = 64;
const egressMax = 256;
const nameCharactersMax = 253;
const portMax = 65_535;
// Underscores are allowed because container networks use them in host names.
const nameForm = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$/;

type NetworkSpec = Pick<MachineSpec, "network" | "hosts" | "loopbackAddresses" | "egress">;

/** Returns why no driver can provide the network of a spec, or `undefined` if the spec is valid. */
export function networkRefusal(spec: NetworkSpec): string | undefined {
  return (
    hostsRefusal(spec.hosts ?? []) ?? loopbackRefusal(spec.loopbackAddresses ?? []) ?? egressRefusal(spec)
  );
}

/** Returns the loopback addresses outside 127.0.0.0/8 and ::1, without duplicates. */
export function furtherLoopbackAddresses(addresses: readonly string[] = []): string[] {
  return [...new Set(addresses)].filter((address) => !address.startsWith("127.") && address !== "::1");
}

function hostsRefusal(hosts: readonly HostEntry[]): string | undefined {
  if (hosts.length > hostsMax) return `it lists ${hosts.length} hosts, but the limit is ${hostsMax}`;
  for (const { name, address } of hosts) {
    if (name.length > nameCharactersMax || !nameForm.test(name)) {
      return `${JSON.stringify(name)} is not a valid host name; use a lower-case DNS name`;
    }
    if (name === "localhost") return 'the host name "localhost" is reserved for the machine itself';
    if (!isAddress(address))
      return `the address ${JSON.stringify(address)} of the host "${name}" is not an IP address`;
  }
  return undefined;
}

function loopbackRefusal(addresses: readonly string[]): string | undefined {
  if (addresses.length > loopbackAddressesMax) {
    return `it lists ${addresses.length} loopback addresses, but the limit is ${loopbackAddressesMax}`;
  }
  const unfit = addresses.find((address) => !isAddress(address) || !isOfOneHost(address));
  return unfit === undefined ? undefined : `${JSON.stringify(unfit)} is not an IP address of a single host`;
}

function egressRefusal({ network, egress = [] }: NetworkSpec): string | undefined {
  if (network !== "egress") {
    return egress.length === 0
      ? undefined
      : `it lists egress targets, but its network is "${network}"; set the network to "egress"`;
  }
  if (egress.length === 0) {
    return 'its network is "egress", but no target is listed; list a target, or use the network "nats" or "none"';
  }
  if (egress.length > egressMax)
    return `it lists ${egress.length} egress targets, but the limit is ${egressMax}`;
  const unfit = egress.find((target) => !isTarget(target));
  return (
    unfit &&
    `${JSON.stringify(unfit)} is not a valid egress target; give the first address of the network, and a port`
  );
}

function isTarget({ address, prefixBits, port }: EgressTarget): boolean {
  if (!Number.isInteger(port) || port < 1 || port > portMax) return false;
  if (!isAddress(address) || !Number.isInteger(prefixBits) || prefixBits < 0) return false;
  if (!isIPv4(address)) return prefixBits <= 128;
  return prefixBits <= 32 && ipv4First(address, prefixBits) === address;
}

/** An IP address without a zone index such as `%eth0`. */
function isAddress(address: string): boolean {
  return isIP(address) !== 0 && !address.includes("%");
}

/** Excludes network, multicast and unspecified addresses. */
function isOfOneHost(address: string): boolean {
  if (!isIPv4(address)) return !/^(ff|::$|::ffff:|[0:]+$)/i.test(address);
  const first = Math.floor(ipv4Number(address) / 2 ** 24);
  return first > 0 && first < 224;
}
