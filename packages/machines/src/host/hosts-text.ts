/** The text of a machine's hosts file. */
import type { HostEntry } from "../driver.ts";

const ownLines = ["127.0.0.1 localhost", "::1 localhost"];

/** Renders the hosts file of a machine. */
export function hostsText(hosts: readonly HostEntry[]): string {
  const lines = hosts.map(({ name, address }) => `${address} ${name}`);
  return `${[...ownLines, ...lines].join("\n")}\n`;
}
