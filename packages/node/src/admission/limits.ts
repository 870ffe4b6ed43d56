/** Grants limits: a pure function of the request and the node. */
import { BlockList, isIPv4, isIPv6 } from "node:net";
import { totalmem } from "node:os";
import {
  type Driver,
  type Ipv4Network,
  ipv4Within,
  isInsideNetwork,
  type LimitName,
  type MachineLimits,
  networkToName,
} from "@nexengine/machines";
import { NexError } from "@nexengine/protocol/errors";
import {
  countedLimits,
  type EgressRule,
  functionTypes,
  type Limits,
  type Network,
  networks,
  type PublishedPort,
  parseEgressRule,
  type WorkloadType,
} from "@nexengine/protocol/messages";
import type { MaxLimits } from "../config/namespaces.ts";
import type { GrantedLimits } from "../workloads/spec.ts";

/** Bounds of the limits of a workload. */
export interface LimitFacts {
  /** Values for limits that are not asked for. */
  defaults: Limits;
  /** Maximum values for one workload. */
  max: MaxLimits;
  driver: Pick<Driver, "kind" | "enforces" | "networks" | "ownLoopback" | "carriesIpv6">;
  /** Memory of the host; read from the operating system when absent. */
  hostMemoryBytes?: number;
  /** Networks of the node's host. */
  hostNetworks: readonly Ipv4Network[];
}

type CountedLimit = (typeof countedLimits)[number];

/** Limits that a driver enforces. The node enforces the others. */
const heldByDriver: Readonly<Partial<Record<CountedLimit, LimitName>>> = {
  vcpus: "vcpus",
  memory_bytes: "memoryBytes",
  disk_bytes: "diskBytes",
  processes: "processes",
};

/** Name of each limit in an error. */
const limitTexts: Readonly<Record<CountedLimit, string>> = {
  vcpus: "processors",
  memory_bytes: "bytes of memory",
  disk_bytes: "bytes of disk",
  processes: "processes",
  log_bytes_per_s: "bytes of log a second",
  call_time_ms: "ms for a call",
};

/**
 * Grants limits: the requested values where node and sandbox allow them, otherwise the defaults.
 *
 * @throws NexError `limit_too_high`, `limit_not_enforced`, `limits_invalid`
 */
export function grantLimits(asked: Limits, type: WorkloadType, facts: LimitFacts): GrantedLimits {
  const counted: Partial<Record<CountedLimit, number>> = {};
  for (const name of countedLimits) {
    const value = grantCounted(name, asked[name], facts);
    if (value !== undefined) counted[name] = value;
  }
  const machine: MachineLimits = {};
  for (const name of countedLimits) {
    const held = heldByDriver[name];
    if (held !== undefined && counted[name] !== undefined) machine[held] = counted[name];
  }
  const network = grantNetwork(asked.network, type, facts);
  return {
    machine,
    network,
    egressAllow: grantEgress(asked, network, facts),
    publish: grantPublish(asked.publish ?? [], type, network, facts),
    logBytesPerSecond: counted.log_bytes_per_s,
    callTimeMs: counted.call_time_ms,
  };
}

function grantCounted(
  name: CountedLimit,
  asked: number | undefined,
  { defaults, max, driver, hostMemoryBytes = totalmem() }: LimitFacts,
): number | undefined {
  const most = max[name];
  const held = heldByDriver[name];
  const holds = held === undefined || driver.enforces.has(held);
  if (asked === undefined) {
    const value = holds ? defaults[name] : undefined;
    return value !== undefined && most !== undefined
      ? Math.min(value, most)
      : (value ?? (holds ? most : undefined));
  }
  if (!holds) {
    throw new NexError(
      "limit_not_enforced",
      `Cannot limit ${name}: machines of the kind "${driver.kind}" don't hold it`,
    );
  }
  if (name === "memory_bytes" && asked > hostMemoryBytes) {
    throw new NexError(
      "limit_too_high",
      `Cannot give ${asked} ${limitTexts[name]}: this node's host has ${hostMemoryBytes}`,
    );
  }
  if (most === undefined || asked <= most) return asked;
  throw new NexError(
    "limit_too_high",
    `Cannot give ${asked} ${limitTexts[name]}: this node gives one workload at most ${most}`,
  );
}

/**
 * Grants a number of machines.
 *
 * @throws NexError `limit_too_high`
 */
export function grantReplicas(asked: number, { max }: LimitFacts): number {
  if (max.replicas === undefined || asked <= max.replicas) return asked;
  throw new NexError(
    "limit_too_high",
    `Cannot give ${asked} replicas: this node gives one workload at most ${max.replicas}`,
  );
}

function grantNetwork(
  asked: Network | undefined,
  type: WorkloadType,
  { defaults, max, driver }: LimitFacts,
): Network {
  const rank = (network: Network): number => networks.indexOf(network);
  const most = max.network ?? "egress";
  const usual = defaults.network ?? (functionTypes.has(type) ? "none" : "nats");
  if (asked === undefined) {
    const narrowed = rank(usual) > rank(most) ? most : usual;
    return narrowed === "egress" && !driver.networks.has("egress") ? "nats" : narrowed;
  }
  if (rank(asked) > rank(most)) {
    throw new NexError(
      "limit_too_high",
      `Cannot give the network "${asked}": this node gives one workload at most "${most}"`,
    );
  }
  // On the host's own network everything is reachable, whatever was asked for.
  const held = driver.networks.has(asked) && (driver.ownLoopback || asked === "nats");
  if (held) return asked;
  throw new NexError(
    "limit_not_enforced",
    `Cannot give the network "${asked}": machines of the kind "${driver.kind}" don't have it on this node`,
    { advice: "See why with: nex node preflight --check" },
  );
}

/** The node's maximum lists everything that may be allowed. */
function grantEgress(
  { network: asked, egress_allow = [] }: Limits,
  network: Network,
  { defaults, max, driver, hostNetworks }: LimitFacts,
): readonly string[] {
  if (network !== "egress") return [];
  // A workload that does not ask for the network gets it with the node's own list.
  const wanted = asked === undefined ? (defaults.egress_allow ?? []) : egress_allow;
  const uncarried = driver.carriesIpv6 ? undefined : wanted.find(isOfIpv6);
  if (uncarried !== undefined) {
    throw new NexError(
      "limit_not_enforced",
      `Cannot allow "${uncarried}": machines of the kind "${driver.kind}" carry IPv4 only`,
      { advice: "List an IPv4 address of it, or its name" },
    );
  }
  if (asked === undefined) return wanted;
  const most = max.egress_allow?.map(parseEgressRule);
  for (const entry of egress_allow) demandNamed(entry, most ?? [], hostNetworks);
  const refused =
    most && egress_allow.find((entry) => !most.some((rule) => covers(rule, parseEgressRule(entry))));
  if (refused === undefined) return egress_allow;
  throw new NexError(
    "limit_too_high",
    `Cannot allow "${refused}": it is not among what this node lets workloads reach`,
  );
}

/**
 * Refuses metadata addresses and the host's own networks, unless the node's maximum names them: metadata by its own
 * address, a host network by an entry within it or within a private range. An entry for everything means public addresses
 * only.
 *
 * @throws NexError `limit_too_high`
 */
function demandNamed(entry: string, most: readonly EgressRule[], hostNetworks: readonly Ipv4Network[]): void {
  const asked = parseEgressRule(entry);
  const network = isIpv4Rule(asked) ? networkToName(asked, hostNetworks) : undefined;
  if (network === undefined) return;
  const names = (rule: EgressRule): boolean =>
    isIpv4Rule(rule) && (ipv4Within(rule, network) || (!network.metadata && isInsideNetwork(rule)));
  if (most.some((rule) => names(rule) && covers(rule, asked))) return;
  const what = network.metadata ? "an address of a cloud's secrets" : "in a network of the node's host";
  throw new NexError(
    "limit_too_high",
    `Cannot allow "${entry}": it is ${what}, and this node's limits.max.egress_allow does not name it`,
    { advice: "Ask the node's operator to list it there" },
  );
}

function isIpv4Rule(rule: EgressRule): rule is Extract<EgressRule, { kind: "address" }> {
  return rule.kind === "address" && isIPv4(rule.address);
}

function isOfIpv6(entry: string): boolean {
  const rule = parseEgressRule(entry);
  return rule.kind === "address" && isIPv6(rule.address);
}

function covers(wide: EgressRule, narrow: EgressRule): boolean {
  if (wide.port !== narrow.port) return false;
  if (wide.kind === "name" || narrow.kind === "name") {
    return wide.kind === "name" && narrow.kind === "name" && wide.name === narrow.name;
  }
  if (!isIPv4(wide.address) || !isIPv4(narrow.address)) return wide.address === narrow.address;
  const network = new BlockList();
  network.addSubnet(wide.address, wide.prefixBits, "ipv4");
  return wide.prefixBits <= narrow.prefixBits && network.check(narrow.address, "ipv4");
}

function grantPublish(
  asked: readonly PublishedPort[],
  type: WorkloadType,
  network: Network,
  { max, driver }: LimitFacts,
): readonly PublishedPort[] {
  if (asked.length === 0) return asked;
  if (functionTypes.has(type)) {
    throw new NexError("limits_invalid", "Cannot publish a port of a function: only services listen");
  }
  if (network === "none") {
    throw new NexError("limits_invalid", `Cannot publish a port of a machine with the network "none"`);
  }
  if (!driver.ownLoopback) {
    throw new NexError(
      "limit_not_enforced",
      `Cannot publish a port: machines of the kind "${driver.kind}" listen on the host itself`,
    );
  }
  const listed = max.publish?.map(({ host_port }) => host_port);
  const refused = listed && asked.find(({ host_port }) => !listed.includes(host_port));
  if (refused === undefined) return asked;
  throw new NexError(
    "limit_too_high",
    `Cannot publish port ${refused.host_port ?? "of its own choice"}: it is not among those that this node publishes`,
  );
}
