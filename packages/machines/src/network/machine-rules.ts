import type { EgressTarget } from "../driver.ts";
import { type Ipv4Network, ipv4Within } from "../ipv4.ts";
import { guardedNetworks } from "../special-networks.ts";
import { guestDevice, tapDevice } from "./link.ts";

const refuse = "reject with icmpx type admin-prohibited";

/** How many connections a machine may have at a time, so that none fills its host's table of them. */
const connectionsMax = 4_096;

const listedChain = ` chain listed {
  ct count over ${connectionsMax} ${refuse}
  accept
 }`;

/**
 * The rules in a machine's own network, for `nft -f`: loopback, answers, and new connections to what is listed from
 * the machine's own address. All else is refused so that its program hears of it at once, and dropped where it
 * can't hear.
 *
 * @param targets Checked, and of IPv4.
 * @param host The networks of the host, which a target reaches only from within.
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
 * The same rules in the network of a monitor, which passes on what its machine sends and gets. Nothing comes to that
 * network itself, and nothing goes out of it but the word that something is refused.
 *
 * @param targets Checked, and of IPv4.
 * @param host The networks of the host, which a target reaches only from within.
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

/** For what a machine sends out. */
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
