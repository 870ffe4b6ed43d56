/** Facts about a running container, and their form in a record. */
import { isIPv4 } from "node:net";
import type { MachineRecord } from "../driver.ts";
import type { ProcessIdentity } from "../host/process-table.ts";
import { readBootId } from "../host/process-table.ts";

/** Facts about a running machine that another node needs to recover it. */
export interface MachineFacts {
  /** The machine's first process, by its pid on the host. */
  identity: ProcessIdentity;
  /** Number of its user id range. */
  range: number;
  cgroupParent: string;
  /** Address of its egress link, if it has one. */
  egressAddress?: string | undefined;
}

/** Converts facts to the members of a record. */
export function recordFacts(facts: MachineFacts): MachineRecord["facts"] {
  const { identity, range, cgroupParent, egressAddress } = facts;
  const { pid, startTicks } = identity;
  const known = { pid, startTicks, range, cgroupParent, bootId: readBootId() };
  return egressAddress === undefined ? known : { ...known, egressAddress };
}

/** Parses a record. Facts that a crashed node did not write are absent. */
export function parseFacts(facts: MachineRecord["facts"]): Partial<MachineFacts> {
  const { pid, startTicks, range, cgroupParent, egressAddress, bootId } = facts;
  const parsed: Partial<MachineFacts> = {};
  // After a reboot of the host, the same pid is another process.
  if (typeof pid === "number" && typeof startTicks === "number" && bootId === readBootId()) {
    parsed.identity = { pid, startTicks };
  }
  if (typeof range === "number") parsed.range = range;
  if (typeof cgroupParent === "string") parsed.cgroupParent = cgroupParent;
  if (typeof egressAddress === "string" && isIPv4(egressAddress)) parsed.egressAddress = egressAddress;
  return parsed;
}
