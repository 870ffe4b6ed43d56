/** Packet filter rules in the network namespace of a machine. */
import type { EgressTarget } from "../driver.ts";
import { type Ipv4Network, ipv4Within } from "../ipv4.ts";
import { guardedNetworks } from "../special-networks.ts";
import { guestDevice, tapDevice } from "./link.ts";

const refuse = "reject with icmpx type admin-prohibited";

/**
 * Maximum number of concurrent connections per machine, so that no machine fills the host's connection tracking
 * table.
 */
const connectionsMax = 4_096;

const listedChain = ` chain listed {
  ct count over ${connectionsMax} ${refuse}
  accept
 }`;

/**
 * Rules in a machine's network, for `nft -f`. They allow loopback, replies, and new connections from the machine's
 * address to the listed targets. Other packets are rejected where the program can see the error, and dropped
 * elsewhere.
 *
 * @param targets Validated IPv4 targets.
 * @param host Networks of the host. Only a target within such a network opens it.
 */
export function machineRules(
  address: string,
  targets: readonly EgressTarget[],
  host: readonly Ipv4Network[],
): string {
  return `table inet nex {
 chain input {
  type filter hook input priority 0; policy drop;
  iif "lo" accept
  ct state established,related accept
 }
 chain forward {
  type filter hook forward priority 0; policy drop;
 }
${listedChain}
 chain output {
  type filter hook output priority 0; policy drop;
  oif "lo" accept
  oifname != "${guestDevice}" drop
${outwardRules(address, targets, host)} }
}
`;
}

/**
 * The same rules for a monitor's network, which forwards the machine's packets. Nothing reaches that network itself,
 * and it sends only ICMP errors.
 *
 * @param targets Validated IPv4 targets.
 * @param host Networks of the host. Only a target within such a network opens it.
 */
export function routerRules(
  address: string,
  targets: readonly EgressTarget[],
  host: readonly Ipv4Network[],
): string {
  return `table inet nex {
 chain input {
  type filter hook input priority 0; policy drop;
 }
 chain output {
  type filter hook output priority 0; policy drop;
  oifname "${tapDevice}" ct state related accept
 }
${listedChain}
 chain forward {
  type filter hook forward priority 0; policy drop;
  iifname "${guestDevice}" oifname "${tapDevice}" ct state established,related accept
  iifname != "${tapDevice}" drop
  oifname != "${guestDevice}" drop
${outwardRules(address, targets, host)} }
}
`;
}

/** Rules for outgoing packets of a machine. */
function outwardRules(
  address: string,
  targets: readonly EgressTarget[],
  host: readonly Ipv4Network[],
): string {
  const rules = [
    "meta nfproto != ipv4 drop",
    `ip saddr != ${address} drop`,
    "ct state established accept",
    ...targetRules(targets, host),
    refuse,
  ];
  return rules.map((rule) => `  ${rule}\n`).join("");
}

function targetRules(targets: readonly EgressTarget[], host: readonly Ipv4Network[]): string[] {
  const rules: string[] = [];
  let left = [...targets];
  for (const range of guardedNetworks(host)) {
    rules.push(...left.filter((target) => ipv4Within(target, range)).map(accept));
    rules.push(`ip daddr ${range.address}/${range.prefixBits} ${refuse}`);
    left = left.filter((target) => !ipv4Within(target, range));
  }
  return [...rules, ...left.map(accept)];
}

function accept({ address, prefixBits, port }: EgressTarget): string {
  const destination = prefixBits === 0 ? "" : `ip daddr ${address}/${prefixBits} `;
  return `${destination}meta l4proto { tcp, udp } th dport ${port} goto listed`;
}
