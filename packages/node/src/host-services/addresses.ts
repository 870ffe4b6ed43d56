/** Addresses to which functions may send HTTP requests. */
import { BlockList, isIP, isIPv6 } from "node:net";
import { isInside, isMetadata } from "@nexengine/machines";
import { NexError } from "@nexengine/protocol/errors";

const familyOf = (address: string): "ipv4" | "ipv6" => (isIPv6(address) ? "ipv6" : "ipv4");

/** Whether this is a network, an address, or `host:port`. */
export function isAddressRule(entry: string): boolean {
  try {
    new AddressRules([entry]);
    return true;
  } catch {
    return false;
  }
}

/**
 * Allowed addresses: all public ones, and the listed private ones.
 * A cloud's metadata needs an entry within it: a listed private network does not include secrets.
 */
export class AddressRules {
  readonly #networks = new BlockList();
  readonly #metadata = new BlockList();
  readonly #hosts = new Set<string>();

  /**
   * @param allowed Networks (`10.1.0.0/16`, `fd00::/8`), addresses, or `host:port` (`[ipv6]:port`).
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

  /** @param host Host in the request. @param address Address that it resolves to. */
  allows(host: string, address: string, port: number): boolean {
    if (!isInside(address)) return true;
    const networks = isMetadata(address) ? this.#metadata : this.#networks;
    return networks.check(address, familyOf(address)) || this.#hosts.has(`${host.toLowerCase()} ${port}`);
  }
}
