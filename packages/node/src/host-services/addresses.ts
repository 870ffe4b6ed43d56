/** Which addresses are of the inside: whoever answers for a name would choose what of it is reached. */
import { BlockList, isIP, isIPv6 } from "node:net";
import { NexError } from "@nexengine/protocol/internal";

const inside = new BlockList();
for (const [network, bits] of [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["224.0.0.0", 3],
] as const) {
  inside.addSubnet(network, bits, "ipv4");
}
for (const [network, bits] of [
  ["::", 96],
  ["64:ff9b::", 96],
  ["64:ff9b:1::", 48],
  ["2002::", 16],
  ["fc00::", 7],
  ["fe80::", 10],
  ["ff00::", 8],
] as const) {
  inside.addSubnet(network, bits, "ipv6");
}

const familyOf = (address: string): "ipv4" | "ipv6" => (isIPv6(address) ? "ipv6" : "ipv4");

/** Is an address loopback, link-local, private, shared, mapped, unique-local, or of another special range? */
export function isInside(address: string): boolean {
  return inside.check(address, familyOf(address));
}

/** Is this a network, an address, or `host:port`? */
export function isAddressRule(entry: string): boolean {
  try {
    new AddressRules([entry]);
    return true;
  } catch {
    return false;
  }
}

/** The addresses to which functions may send requests: all of the outside, and of the inside those that are listed. */
export class AddressRules {
  readonly #networks = new BlockList();
  readonly #hosts = new Set<string>();

  /**
   * @param allowed Each a network (`10.1.0.0/16`, `fd00::/8`), an address, or `host:port` (`[ipv6]:port`).
   * @throws NexError `config_invalid`
   */
  constructor(allowed: readonly string[]) {
    for (const entry of allowed) this.#add(entry.toLowerCase());
  }

  #add(entry: string): void {
    const [, network = "", bits] = /^([\d.]+|[\da-f:.]*:[\da-f:.]*)(?:\/(\d{1,3}))?$/.exec(entry) ?? [];
    if (isIP(network) !== 0) {
      const widest = isIPv6(network) ? 128 : 32;
      const prefix = Number(bits ?? widest);
      if (prefix <= widest) {
        this.#networks.addSubnet(network, prefix, familyOf(network));
        return;
      }
    }
    const [, bracketed, plain, port] = /^(?:\[([\da-f:.]+)\]|([^\s:/[\]]+)):(\d{1,5})$/.exec(entry) ?? [];
    const host = bracketed ?? plain;
    if (
      host === undefined ||
      Number(port) < 1 ||
      Number(port) > 65_535 ||
      (bracketed && !isIPv6(bracketed))
    ) {
      throw new NexError(
        "config_invalid",
        `Cannot allow "${entry}" in http_allow: it is neither a network nor host:port`,
      );
    }
    this.#hosts.add(`${host} ${Number(port)}`);
  }

  /** @param host As the request has it; @param address What it leads to. */
  allows(host: string, address: string, port: number): boolean {
    if (!isInside(address)) return true;
    return (
      this.#networks.check(address, familyOf(address)) || this.#hosts.has(`${host.toLowerCase()} ${port}`)
    );
  }
}
