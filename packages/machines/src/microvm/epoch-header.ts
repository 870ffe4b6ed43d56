/** The header that starts an epoch on a channel. */
import { randomBytes } from "node:crypto";

/** No frame or call starts with these bytes: as a length they exceed every limit. */
const impossibleLength = "ffffffff";
const epochBytes = 8;

/** Creates a token for a new machine. */
export function newToken(): string {
  return `${impossibleLength}${randomBytes(12).toString("hex")}`;
}

/** Header with which both ends of a port start an epoch, so that older data can be told apart. */
export function epochHeader(token: string, epoch: number): Buffer {
  const number = Buffer.alloc(epochBytes);
  number.writeBigUInt64LE(BigInt(epoch));
  return Buffer.concat([Buffer.from(token, "hex"), number]);
}

/** Finds a header in a stream of chunks. Keeps at most one header of data. */
export class HeaderFinder {
  readonly #mark: Buffer;
  #last: Buffer = Buffer.alloc(0);

  constructor(mark: Buffer) {
    this.#mark = mark;
  }

  /** @returns the data after the header, once the header has arrived. */
  add(chunk: Buffer): Buffer | undefined {
    const bytes = Buffer.concat([this.#last, chunk]);
    const start = bytes.indexOf(this.#mark);
    if (start >= 0) return bytes.subarray(start + this.#mark.length);
    this.#last = bytes.subarray(-this.#mark.length);
    return undefined;
  }
}
