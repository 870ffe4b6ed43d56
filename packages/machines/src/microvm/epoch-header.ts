import { randomBytes } from "node:crypto";

/** With this no frame and no call begins: it would be a length beyond all limits. */
const impossibleLength = "ffffffff";
const epochBytes = 8;

/** A token for a new machine. */
export function newToken(): string {
  return `${impossibleLength}${randomBytes(12).toString("hex")}`;
}

/** What both ends of a port begin an epoch with, so that each knows what is older. */
export function epochHeader(token: string, epoch: number): Buffer {
  const number = Buffer.alloc(epochBytes);
  number.writeBigUInt64LE(BigInt(epoch));
  return Buffer.concat([Buffer.from(token, "hex"), number]);
}

/** Finds a mark in what comes in parts, and keeps no more of it than a part of a mark. */
export class HeaderFinder {
  readonly #mark: Buffer;
  #last: Buffer = Buffer.alloc(0);

  constructor(mark: Buffer) {
    this.#mark = mark;
  }

  /** @returns what comes after the mark, once that is there. */
  add(chunk: Buffer): Buffer | undefined {
    const bytes = Buffer.concat([this.#last, chunk]);
    const start = bytes.indexOf(this.#mark);
    if (start >= 0) return bytes.subarray(start + this.#mark.length);
    this.#last = bytes.subarray(-this.#mark.length);
    return undefined;
  }
}
