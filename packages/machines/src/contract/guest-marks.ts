/** What the ways to open channels share that begin an epoch by a mark. */
import { readFileSync } from "node:fs";
import type { Duplex } from "node:stream";

/** The channels of one epoch, or of the only one. */
export interface GuestChannels {
  frames: Duplex;
  /** The node has told the epoch: opens the calls. */
  attach(epoch: number): void;
  /** Sends a call, and waits for an answer of as many bytes; fewer when the node has gone. */
  call(request: Buffer, answerBytes: number): Buffer;
}

export const epochBytes = 8;

export function readToken(directory: string): Buffer {
  return Buffer.from(readFileSync(`${directory}/token`, "latin1").trim(), "hex");
}

export function markOf(token: Buffer, epoch: number): Buffer {
  const number = Buffer.alloc(epochBytes);
  number.writeBigUInt64LE(BigInt(epoch));
  return Buffer.concat([token, number]);
}
