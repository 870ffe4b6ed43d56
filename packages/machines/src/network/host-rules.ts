/** The machines with egress of one node: by the names of their devices, their addresses. */
export type ListedLinks = ReadonlyMap<string, string>;

/**
 * The rules on the host for all machines of a node, for `nft -f`; they replace the former ones in one step. A machine
 * has its own source address only, comes neither to the host itself nor to another machine, and nothing comes to it
 * but answers. What leaves the host has the host's address. Without machines there is no table.
 */
export function hostRules(table: string, links: ListedLinks): string {
  const replace = `add table inet ${table}\ndelete table inet ${table}\n`;
  if (links.size === 0) return replace;
  const names = [...links.keys()].map((name) => `"${name}"`);
  const pairs = [...links].map(([name, address]) => `"${name}" . ${address}`);
  return `${replace}table inet ${table} {
 set links {
  type ifname
  elements = { ${names.join(", ")} }
 }
 set machines {
  type ifname . ipv4_addr
  elements = { ${pairs.join(", ")} }
 }
 set addresses {
  type ipv4_addr
  elements = { ${[...links.values()].join(", ")} }
 }
 chain prerouting {
  type filter hook prerouting priority -300; policy accept;
  iifname @links meta nfproto != ipv4 drop
  iifname @links iifname . ip saddr != @machines drop
 }
 chain input {
  type filter hook input priority 0; policy accept;
  iifname @links ct state established,related accept
  iifname @links drop
 }
 chain forward {
  type filter hook forward priority 0; policy accept;
  iifname @links tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu
  oifname @links tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu
  oifname @links ct state established,related accept
  oifname @links drop
 }
 chain postrouting {
  type nat hook postrouting priority 100; policy accept;
  ip saddr @addresses masquerade
 }
}
`;
}

/** The machines in the text of a table, as `nft list table` shows it. */
export function parseLinks(listed: string): Map<string, string> {
  const pairs = listed.matchAll(/"(nex[a-z0-9]+)" \. (\d+\.\d+\.\d+\.\d+)/g);
  return new Map(Array.from(pairs, ([, name = "", address = ""]) => [name, address]));
}
