/** The addresses of the inside that a node's functions may send requests to. */
import { BlockList, isIP, isIPv6 } from "node:net";
import { isInside, isMetadata } from "@nexengine/machines";
import { NexError } from "@nexengine/protocol/internal";

const familyOf = (address: string): "ipv4" | "ipv6" => (isIPv6(address) ? "ipv6" : "ipv4");

/** Is this a network, an address, or `host:port`? */
export function isAddressRule(entry: string): boolean {
  try {
    new AddressRules([entry]);
    return true;
  } catch {
    return false;
  }
}

/**
 * The addresses to which functions may send requests: all of the outside, and of the inside those that are listed.
 * Metadata of a cloud is reached by an entry that lies within it only: who lists a private network means no secrets.
 */
export class AddressRules {
  readonly #networks = new BlockList();
  readonly #metadata = new BlockList();
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
        if (prefix === widest && isMetadata(network)) this.#metadata.addAddress(network, familyOf(network));
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
    const networks = isMetadata(address) ? this.#metadata : this.#networks;
    return networks.check(address, familyOf(address)) || this.#hosts.has(`${host.toLowerCase()} ${port}`);
  }
}
