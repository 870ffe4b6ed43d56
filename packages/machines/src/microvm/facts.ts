import { isIPv4 } from "node:net";
import type { MachineRecord } from "../driver.ts";
import { readBootId } from "../host/boot-id.ts";
import type { ProcessIdentity } from "../host/process-table.ts";

/** What is known of a running machine beside its order, and what another node needs to find it. */
export interface MachineFacts {
  /** The virtual machine monitor that is the machine. */
  identity: ProcessIdentity;
  /** With which both ends begin an epoch; 32 hexadecimal digits. */
  token: string;
  /** Which user of the host it is, where it has one of its own. */
  idRange?: number;
  /** Its own address in the host's network, if it has egress. */
  egressAddress?: string;
}

/** Writes the facts into a record. */
export function recordFacts({
  identity,
  token,
  idRange,
  egressAddress,
}: MachineFacts): MachineRecord["facts"] {
  return {
    pid: identity.pid,
    startTicks: identity.startTicks,
    token,
    bootId: readBootId(),
    ...(idRange === undefined ? {} : { idRange }),
    ...(egressAddress === undefined ? {} : { egressAddress }),
  };
}

/** Reads a record; what a node could not write down any more is absent. */
export function parseFacts(facts: MachineRecord["facts"]): MachineFacts | undefined {
  const { pid, startTicks, token, bootId, idRange, egressAddress } = facts;
  // After another boot of the host the same numbers are another process.
  if (typeof pid !== "number" || typeof startTicks !== "number" || bootId !== readBootId()) return undefined;
  if (typeof token !== "string" || !/^[0-9a-f]{32}$/.test(token)) return undefined;
  return {
    identity: { pid, startTicks },
    token,
    ...(typeof idRange === "number" ? { idRange } : {}),
    ...(typeof egressAddress === "string" && isIPv4(egressAddress) ? { egressAddress } : {}),
  };
}
