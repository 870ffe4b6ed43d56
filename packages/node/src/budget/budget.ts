/**
 * The one budget of a node: what its machines, their callers and its feeds use together. Limits of a single machine
 * don't add up to a limit of the node, so everything that a workload can make grow asks here first.
 */
import { readFileSync } from "node:fs";
import { totalmem } from "node:os";
import { BootSlots } from "./boot-slots.ts";
import { Quota, type Share } from "./quota.ts";
import { Rate, type RateShare } from "./rate.ts";

const mebibyte = 1_048_576;
/** Assumed where the system does not tell. */
const descriptorsAssumed = 1_024;
/** Descriptors of the node itself: its files, its connections to NATS, artifacts that it reads. */
const descriptorsReserved = 256;
/** Descriptors of one machine: its channels, its console, what its driver opens while it boots. */
const descriptorsOfMachine = 16;
const socketsMax = 16_384;
const socketsOfOwnerMax = 4_096;
const socketsGuaranteed = 8;
const heldBytesMax = 512 * mebibyte;
/** Part of the host's memory that is held at most. */
const heldPartOfMemory = 1 / 8;
const heldBytesOfOwnerMax = 128 * mebibyte;
const heldBytesGuaranteed = mebibyte;
const framesWindowMs = 50;
const framesPerSecondMax = 150_000;
const framesOfMachinePerSecondMax = 50_000;
const framesGuaranteedPerSecond = 200;
const logLinesPerSecondMax = 10_000;
const logLinesOfWorkloadPerSecondMax = 2_000;
const logLinesGuaranteedPerSecond = 50;
const checksMax = 64;
const checksOfWorkloadMax = 16;
const checksGuaranteed = 1;
const msPerSecond = 1_000;

/** The budget of a large host, for the reference page: of all together, of one owner at most, of each in any case. */
export const budgetLimits = {
  descriptorsReserved,
  descriptorsOfMachine: descriptorsOfMachine + 2 * socketsGuaranteed,
  heldPartOfMemory,
  sockets: { common: socketsMax, ownerMax: socketsOfOwnerMax, guaranteed: socketsGuaranteed },
  heldBytes: { common: heldBytesMax, ownerMax: heldBytesOfOwnerMax, guaranteed: heldBytesGuaranteed },
  framesPerSecond: {
    common: framesPerSecondMax,
    ownerMax: framesOfMachinePerSecondMax,
    guaranteed: framesGuaranteedPerSecond,
  },
  logLinesPerSecond: {
    common: logLinesPerSecondMax,
    ownerMax: logLinesOfWorkloadPerSecondMax,
    guaranteed: logLinesGuaranteedPerSecond,
  },
  checks: { common: checksMax, ownerMax: checksOfWorkloadMax, guaranteed: checksGuaranteed },
} as const;

/** Options of a budget. */
export interface BudgetOptions {
  /** Open files that the process may have. */
  descriptors?: number;
  /** Memory of the host. */
  memoryBytes?: number;
  /** Maximum number of concurrent boots. */
  bootsMax: number;
  /** Bytes that a connection to NATS may have taken and not sent before feeds are dropped. */
  unsentBytesMax: number;
}

/** Shares of one machine in its node's budget. */
export interface MachineShares {
  readonly sockets: Share;
  readonly heldBytes: Share;
  readonly frames: RateShare;
}

export class Budget {
  /** Sockets that the node opens for workloads, for relayed streams and HTTP requests. Each takes a descriptor. */
  readonly sockets: Quota;
  /** Machines that the node can have at once with its descriptors. */
  readonly machines: Quota;
  /** Bytes that the node holds: for agents what they have sent in part or not taken yet, for callers what waits. */
  readonly heldBytes: Quota;
  /** Frames of agents that nobody asked for. */
  readonly frames: Rate;
  /** Log lines that are published. */
  readonly logLines: Rate;
  /** Health checks that are carried out at once. */
  readonly checks = new Quota(budgetLimits.checks);
  readonly boots: BootSlots;
  /** Number of replies that were dropped, because the NATS server was gone or did not read. */
  droppedReplies = 0;
  readonly unsentBytesMax: number;

  constructor({ descriptors, memoryBytes, bootsMax, unsentBytesMax }: BudgetOptions) {
    const open = Math.max(0, (descriptors ?? readDescriptorLimit()) - descriptorsReserved);
    // A quarter for the common part of sockets, the rest for machines with the sockets that each has in any case.
    const sockets = Math.min(socketsMax, Math.floor(open / 4));
    this.sockets = new Quota({
      common: sockets,
      guaranteed: socketsGuaranteed,
      ownerMax: Math.max(socketsGuaranteed, Math.min(socketsOfOwnerMax, Math.floor(sockets / 2))),
    });
    // A function's host services are an owner of sockets beside its machine.
    const machines = Math.floor((open - sockets) / budgetLimits.descriptorsOfMachine);
    this.machines = new Quota({ common: machines, guaranteed: 0, ownerMax: machines });
    this.heldBytes = new Quota({
      common: Math.min(heldBytesMax, Math.floor((memoryBytes ?? totalmem()) * heldPartOfMemory)),
      guaranteed: heldBytesGuaranteed,
      ownerMax: heldBytesOfOwnerMax,
    });
    this.frames = rate(framesWindowMs, {
      common: framesPerSecondMax,
      guaranteed: framesGuaranteedPerSecond,
      ownerMax: framesOfMachinePerSecondMax,
    });
    this.logLines = rate(msPerSecond, {
      common: logLinesPerSecondMax,
      guaranteed: logLinesGuaranteedPerSecond,
      ownerMax: logLinesOfWorkloadPerSecondMax,
    });
    this.boots = new BootSlots(bootsMax);
    this.unsentBytesMax = unsentBytesMax;
  }

  /** Counters of what was refused or dropped so far. */
  get refusals(): Readonly<Record<string, () => number>> {
    return {
      refused_sockets: () => this.sockets.refused,
      refused_bytes: () => this.heldBytes.refused,
      refused_machines: () => this.machines.refused,
      dropped_replies: () => this.droppedReplies,
    };
  }

  /** The shares of a new machine, which gives them back by closing them. */
  ofMachine(): MachineShares {
    return {
      sockets: this.sockets.share(),
      heldBytes: this.heldBytes.share(),
      frames: this.frames.share(),
    };
  }
}

function rate(windowMs: number, perSecond: { common: number; guaranteed: number; ownerMax: number }): Rate {
  const ofWindow = (amount: number): number => Math.ceil((amount * windowMs) / msPerSecond);
  return new Rate({
    windowMs,
    common: ofWindow(perSecond.common),
    guaranteed: ofWindow(perSecond.guaranteed),
    ownerMax: ofWindow(perSecond.ownerMax),
  });
}

/** The soft limit of open files of this process. */
export function readDescriptorLimit(): number {
  let text: string;
  try {
    text = readFileSync("/proc/self/limits", "utf8");
  } catch {
    return descriptorsAssumed;
  }
  const value = /^Max open files\s+(\d+)/m.exec(text)?.[1];
  return value === undefined ? descriptorsAssumed : Number(value);
}
