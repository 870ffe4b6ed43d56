/** Limits of a workload, as a deploy requests them and a node enforces them. */
import { z } from "zod";
import { NexError } from "../errors.ts";
import { printable } from "../subjects/names.ts";

export const egressAllowMax = 64;
export const publishMax = 16;

/** Network access of a workload, narrowest first. */
export const networks = ["none", "nats", "egress"] as const;
/** Network access of a workload. */
export type Network = (typeof networks)[number];

const port = z.number().int().min(1).max(65_535);

/** A machine's port that is published on the node's host. */
const publishSchema = z.strictObject({
  machine_port: port,
  /** Any free port when absent. */
  host_port: port.optional(),
  protocol: z.literal("tcp").default("tcp"),
});

function between(least: number, most: number, unit: string): z.ZodNumber {
  const error = `must be from ${least} to ${most} ${unit}`;
  return z.number({ error }).min(least, { error }).max(most, { error });
}

function whole(least: number, most: number, unit: string): z.ZodNumber {
  return between(least, most, unit).int({ error: `must be a whole number of ${unit}` });
}

/**
 * Strict, like everything that a deploy relies on. The lower bounds are the minimum an agent needs. The upper bounds
 * exceed any host; a node's own maxima are in its configuration.
 */
export const limitsSchema = z.strictObject({
  vcpus: between(0.01, 1_024, "processors").optional(),
  memory_bytes: whole(67_108_864, 2 ** 50, "bytes").optional(),
  disk_bytes: whole(1_048_576, 2 ** 50, "bytes").optional(),
  processes: whole(32, 4_194_304, "processes").optional(),
  log_bytes_per_s: whole(1_024, 2 ** 40, "bytes a second").optional(),
  call_time_ms: whole(1, 86_400_000, "ms").optional(),
  network: z.enum(networks).optional(),
  egress_allow: z.array(z.string().min(3).max(262)).max(egressAllowMax).optional(),
  publish: z.array(publishSchema).max(publishMax).optional(),
});
/** Limits of a workload, as asked for. An absent member takes the default of the node. */
export type Limits = z.infer<typeof limitsSchema>;
/** A port of the machine to publish on the node's host. */
export type PublishedPort = z.infer<typeof publishSchema>;

/** Members that are numbers, so a node can set a maximum for them. */
export const countedLimits = [
  "vcpus",
  "memory_bytes",
  "disk_bytes",
  "processes",
  "log_bytes_per_s",
  "call_time_ms",
] as const;

/** Parsed entry of `egress_allow`. */
export type EgressRule =
  | { kind: "name" /** Lower case. */; name: string; port: number }
  | { kind: "address" /** Without brackets. */; address: string; prefixBits: number; port: number };

const rulePattern = /^(?:\[([0-9a-f:.]+)\]|([^:/[\]]+)(?:\/(0|[1-9]\d?))?):([1-9]\d{0,4})$/;
const label = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?";
// A host that ends in a number is meant as an address.
const namePattern = new RegExp(`^(?=.{1,253}$)(?:${label}\\.)*(?!\\d+$)${label}$`);

/**
 * Parses an entry of `egress_allow`: `host:port`, `ipv4[/n]:port` or `[ipv6]:port`.
 *
 * @throws NexError `limits_invalid`
 */
export function parseEgressRule(text: string): EgressRule {
  const [, v6, host = "", prefix, portText = ""] = rulePattern.exec(text.toLowerCase()) ?? [];
  const port = Number(portText);
  if (port < 1 || port > 65_535) throw notAllowed(text, egressForms);
  if (v6 !== undefined) {
    if (!URL.canParse(`http://[${v6}]`)) throw notAllowed(text, egressForms);
    return { kind: "address", address: v6, prefixBits: 128, port };
  }
  if (isIPv4(host)) {
    const prefixBits = Number(prefix ?? 32);
    if (prefixBits > 32) throw notAllowed(text, egressForms);
    const first = firstOf(host, prefixBits);
    if (first !== host) throw notAllowed(text, `the network starts at ${first}/${prefixBits}`);
    return { kind: "address", address: host, prefixBits, port };
  }
  const name = host.replace(/\.$/, "");
  if (prefix !== undefined || !namePattern.test(name)) throw notAllowed(text, egressForms);
  return { kind: "name", name, port };
}

const egressForms = "an entry is host:port, ipv4[/n]:port or [ipv6]:port";

function notAllowed(text: string, why: string): NexError {
  return new NexError("limits_invalid", `Cannot allow "${printable(text)}": ${why}`);
}

function isIPv4(text: string): boolean {
  const parts = text.split(".");
  return (
    parts.length === 4 && parts.every((part) => /^(?:0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255)
  );
}

/** First address of an IPv4 network. */
function firstOf(address: string, prefixBits: number): string {
  const bytes = address.split(".").map((byte, at) => {
    const bits = Math.min(Math.max(prefixBits - at * 8, 0), 8);
    return Number(byte) & (0xff << (8 - bits));
  });
  return bytes.join(".");
}

/**
 * Checks limits that depend on each other.
 *
 * @throws NexError `limits_invalid`
 */
export function checkLimits(limits: Limits): void {
  const { network, egress_allow = [], publish = [] } = limits;
  for (const text of egress_allow) parseEgressRule(text);
  if (egress_allow.length > 0 && network !== "egress") {
    throw new NexError("limits_invalid", `Cannot allow "${egress_allow[0]}": the network is not "egress"`);
  }
  if (network === "egress" && egress_allow.length === 0) {
    throw new NexError("limits_invalid", `Cannot use the network "egress": the allow-list is empty`, {
      advice: "List each allowed destination as host:port",
    });
  }
  for (const name of ["machine_port", "host_port"] as const) {
    const ports = publish.map((entry) => entry[name]).filter((value) => value !== undefined);
    const twice = ports.find((value, at) => ports.indexOf(value) !== at);
    if (twice !== undefined) {
      throw new NexError("limits_invalid", `Cannot publish port ${twice} twice (${name})`);
    }
  }
}
