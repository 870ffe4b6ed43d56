/** Resolves the names of an egress allow-list when a machine boots. */
import { lookup } from "node:dns/promises";
import { isIPv6 } from "node:net";
import { type EgressTarget, type HostEntry, isInside } from "@nexengine/machines";
import { errorText, NexError } from "@nexengine/protocol/errors";
import { parseEgressRule } from "@nexengine/protocol/messages";

const lookupTimeoutMs = 3_000;
/** Maximum number of addresses per name. A machine reaches the name at these addresses only. */
const addressesMax = 3;

/** The allow-list in the form in which a machine is booted with it. */
export interface ResolvedEgress {
  egress: EgressTarget[];
  hosts: HostEntry[];
}

/** Resolves a name to its addresses. */
export type Resolve = (name: string) => Promise<readonly string[]>;

/**
 * Resolves an allow-list.
 *
 * @throws NexError `egress_refused` for a name without a public address.
 */
export async function resolveEgress(
  allow: readonly string[],
  resolve: Resolve = resolveName,
): Promise<ResolvedEgress> {
  const resolved: ResolvedEgress = { egress: [], hosts: [] };
  const known = new Map<string, readonly string[]>();
  for (const text of allow) {
    const rule = parseEgressRule(text);
    const { port } = rule;
    if (rule.kind === "address") {
      resolved.egress.push({ address: rule.address, prefixBits: rule.prefixBits, port });
      continue;
    }
    const { name } = rule;
    // One lookup for all ports of a name.
    const addresses = known.get(name) ?? (await outsideAddresses(name, resolve));
    if (!known.has(name)) resolved.hosts.push(...addresses.map((address) => ({ name, address })));
    known.set(name, addresses);
    for (const address of addresses) {
      resolved.egress.push({ address, prefixBits: isIPv6(address) ? 128 : 32, port });
    }
  }
  return resolved;
}

async function outsideAddresses(name: string, resolve: Resolve): Promise<string[]> {
  let addresses: readonly string[];
  try {
    addresses = await resolve(name);
  } catch (cause) {
    throw new NexError("egress_refused", `Cannot allow "${name}": it has no address: ${errorText(cause)}`, {
      cause,
    });
  }
  const outside = addresses.filter((address) => !isInside(address));
  if (outside.length > 0) return [...new Set(outside)].slice(0, addressesMax);
  throw new NexError(
    "egress_refused",
    `Cannot allow "${name}": it leads to addresses of the inside only (${addresses.slice(0, 4).join(", ")})`,
    { advice: "Such an address must be written itself" },
  );
}

/** IPv4 only, because drivers carry only that. */
async function resolveName(name: string): Promise<string[]> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const error = new NexError("timeout", `no answer within ${lookupTimeoutMs} ms`);
    timer = setTimeout(reject, lookupTimeoutMs, error);
  });
  try {
    const found = await Promise.race([lookup(name, { all: true, family: 4 }), late]);
    return found.map(({ address }) => address);
  } finally {
    clearTimeout(timer);
  }
}
