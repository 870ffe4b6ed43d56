import { isIPv4 } from "node:net";
import type { MachineRecord } from "../driver.ts";
import { readBootId } from "../host/boot-id.ts";
import type { ProcessIdentity } from "../host/process-table.ts";

/** What is known of a running machine beside its order, and what another node needs to find it. */
export interface MachineFacts {
  /** The first process of the machine, as the host numbers it. */
  identity: ProcessIdentity;
  /** Which range of user ids it has. */
  range: number;
  cgroupParent: string;
  /** Its own address in the host's network, if it has egress. */
  egressAddress?: string | undefined;
}

/** Writes the facts into a record. */
export function recordFacts(facts: MachineFacts): MachineRecord["facts"] {
  const { identity, range, cgroupParent, egressAddress } = facts;
  const { pid, startTicks } = identity;
  const known = { pid, startTicks, range, cgroupParent, bootId: readBootId() };
  return egressAddress === undefined ? known : { ...known, egressAddress };
}

/** Reads a record; what a node could not write down any more is absent. */
export function parseFacts(facts: MachineRecord["facts"]): Partial<MachineFacts> {
  const { pid, startTicks, range, cgroupParent, egressAddress, bootId } = facts;
  const parsed: Partial<MachineFacts> = {};
  // After another boot of the host the same numbers are another process.
  if (typeof pid === "number" && typeof startTicks === "number" && bootId === readBootId()) {
    parsed.identity = { pid, startTicks };
  }
  if (typeof range === "number") parsed.range = range;
  if (typeof cgroupParent === "string") parsed.cgroupParent = cgroupParent;
  if (typeof egressAddress === "string" && isIPv4(egressAddress)) parsed.egressAddress = egressAddress;
  return parsed;
}
