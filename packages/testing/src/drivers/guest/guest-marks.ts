/** Shared code of the transports that start an epoch with a header. */
import { readFileSync } from "node:fs";
import type { Duplex } from "node:stream";

/** Channels of one epoch, or of the only one. */
export interface GuestChannels {
  frames: Duplex;
  /** Opens the calls of an epoch that the node has announced. */
  attach(epoch: number): void;
  /** Sends a call, and waits for an answer of `answerBytes` bytes. Returns fewer if the node is gone. */
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
