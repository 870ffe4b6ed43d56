/** Egress machines of one node: maps device names to addresses. */
export type ListedLinks = ReadonlyMap<string, string>;

/**
 * Rules on the host for all egress machines of a node, for `nft -f`. They replace the previous rules atomically. A
 * machine can use only its own source address. It can't reach the host itself or another machine, and only replies
 * reach it. Packets that leave the host get the host's address. Without machines there is no table.
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

/** Parses the machines from the output of `nft list table`. */
export function parseLinks(listed: string): Map<string, string> {
  const pairs = listed.matchAll(/"(nex[a-z0-9]+)" \. (\d+\.\d+\.\d+\.\d+)/g);
  return new Map(Array.from(pairs, ([, name = "", address = ""]) => [name, address]));
}
