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
/** Descriptors that relays must leave to the node itself: its files, its servers, its machines' channels. */
const descriptorsReserved = 256;
const relayStreamsMax = 16_384;
const relayStreamsOfMachineMax = 4_096;
const relayStreamsGuaranteed = 8;
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
const msPerSecond = 1_000;

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
  readonly relayStreams: Share;
  readonly heldBytes: Share;
  readonly frames: RateShare;
}

export class Budget {
  /** Streams that the node relays for its machines; each takes a descriptor here. */
  readonly relayStreams: Quota;
  /** Bytes that the node holds: for agents what they have sent in part or not taken yet, for callers what waits. */
  readonly heldBytes: Quota;
  /** Frames of agents that nobody asked for. */
  readonly frames: Rate;
  /** Log lines that are published. */
  readonly logLines: Rate;
  readonly boots: BootSlots;
  readonly unsentBytesMax: number;

  constructor({ descriptors, memoryBytes, bootsMax, unsentBytesMax }: BudgetOptions) {
    const open = descriptors ?? readDescriptorLimit();
    const streams = Math.min(relayStreamsMax, Math.max(0, Math.floor((open - descriptorsReserved) / 2)));
    this.relayStreams = new Quota({
      common: streams,
      guaranteed: relayStreamsGuaranteed,
      ownerMax: Math.max(relayStreamsGuaranteed, Math.min(relayStreamsOfMachineMax, Math.floor(streams / 2))),
    });
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

  /** The shares of a new machine, which gives them back by closing them. */
  ofMachine(): MachineShares {
    return {
      relayStreams: this.relayStreams.share(),
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
