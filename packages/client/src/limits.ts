/** The limits of a deploy, as a program gives them and as they travel. */
import { NexError } from "@nexengine/protocol/errors";
import { checkLimits, type Limits, limitsSchema, type Network } from "@nexengine/protocol/messages";
import { printable } from "@nexengine/protocol/subjects";

/** Limits of a workload; an absent member leaves the limit to the node. */
export interface WorkloadLimits {
  /** Processors; a fraction is fine. */
  vcpus?: number;
  memoryBytes?: number;
  /** Maximum number of bytes that it can write in total. */
  diskBytes?: number;
  /** Processes and threads together. */
  processes?: number;
  logBytesPerSecond?: number;
  /** Time limit for one call of a function. */
  callTimeMs?: number;
  /** `none` for functions and `nats` for services unless the node says otherwise. */
  network?: Network;
  /** With the network `egress`: what may be reached, as `host:port`, `ipv4[/n]:port` or `[ipv6]:port`. */
  egressAllow?: readonly string[];
  /** Ports of a service that are to be reached on the node's host; any free `hostPort` when absent. */
  publish?: readonly { machinePort: number; hostPort?: number }[];
}

const names: ReadonlySet<string> = new Set<keyof WorkloadLimits>([
  "vcpus",
  "memoryBytes",
  "diskBytes",
  "processes",
  "logBytesPerSecond",
  "callTimeMs",
  "network",
  "egressAllow",
  "publish",
]);
const portNames: ReadonlySet<string> = new Set(["machinePort", "hostPort"]);

/** A limit whose name is misspelt would not be held, and nobody would notice. */
function refuseUnknown(limits: WorkloadLimits): void {
  const unknown =
    Object.keys(limits).find((name) => !names.has(name)) ??
    limits.publish?.flatMap((entry) => Object.keys(entry)).find((name) => !portNames.has(name));
  if (unknown === undefined) return;
  throw new NexError(
    "limits_invalid",
    `Cannot set the limit ${printable(unknown)}: there is none of this name`,
  );
}

/**
 * Limits as they travel; `undefined` when there are none.
 *
 * @throws NexError `limits_invalid`
 */
export function encodeLimits(limits: WorkloadLimits | undefined): Limits | undefined {
  if (limits === undefined) return undefined;
  refuseUnknown(limits);
  const { egressAllow, publish } = limits;
  const wire = {
    vcpus: limits.vcpus,
    memory_bytes: limits.memoryBytes,
    disk_bytes: limits.diskBytes,
    processes: limits.processes,
    log_bytes_per_s: limits.logBytesPerSecond,
    call_time_ms: limits.callTimeMs,
    network: limits.network,
    egress_allow: egressAllow?.length ? egressAllow : undefined,
    publish: publish?.length
      ? publish.map(({ machinePort, hostPort }) => ({
          machine_port: machinePort,
          host_port: hostPort,
          protocol: "tcp",
        }))
      : undefined,
  };
  // Through JSON, so that what is absent is not there at all.
  const result = limitsSchema.safeParse(JSON.parse(JSON.stringify(wire)));
  if (!result.success) {
    const issue = result.error.issues[0];
    throw new NexError("limits_invalid", `Cannot set the limit ${issue?.path.join(".")}: ${issue?.message}`);
  }
  checkLimits(result.data);
  return Object.keys(result.data).length === 0 ? undefined : result.data;
}
