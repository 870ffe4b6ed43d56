/** Facts about a running microVM, and their form in a record. */
import { isIPv4 } from "node:net";
import type { MachineRecord } from "../driver.ts";
import type { ProcessIdentity } from "../host/process-table.ts";
import { readBootId } from "../host/process-table.ts";

/** Facts about a running machine that another node needs to recover it. */
export interface MachineFacts {
  /** Process of the virtual machine monitor. */
  identity: ProcessIdentity;
  /** Token with which both ends start an epoch; 32 hexadecimal digits. */
  token: string;
  /** Number of its user id range on the host, if it has one. */
  idRange?: number;
  /** Address of its egress link, if it has one. */
  egressAddress?: string;
}

/** Converts facts to the members of a record. */
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

/** Parses a record; `undefined` if facts are missing because a node crashed. */
export function parseFacts(facts: MachineRecord["facts"]): MachineFacts | undefined {
  const { pid, startTicks, token, bootId, idRange, egressAddress } = facts;
  // After a reboot of the host, the same pid is another process.
  if (typeof pid !== "number" || typeof startTicks !== "number" || bootId !== readBootId()) return undefined;
  if (typeof token !== "string" || !/^[0-9a-f]{32}$/.test(token)) return undefined;
  return {
    identity: { pid, startTicks },
    token,
    ...(typeof idRange === "number" ? { idRange } : {}),
    ...(typeof egressAddress === "string" && isIPv4(egressAddress) ? { egressAddress } : {}),
  };
}
