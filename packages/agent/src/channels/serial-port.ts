/**
 * A serial port of a microVM. Its host may go and come back, which the port shows as an end or does not show at all.
 * So the host begins each epoch with a header, and what came before that is thrown away; the agent answers with the same.
 */
import { constants, openSync, readFileSync } from "node:fs";
import type { Socket } from "node:net";
import { newPipe, socketOf } from "./pipe-handle.ts";

/** The header of an epoch: 16 bytes that the host chose for this machine, and the number of the epoch. */
export class EpochHeader {
  readonly #directory: string;
  #token: Buffer;

  /** @param directory Where the token is. */
  constructor(directory: string) {
    this.#directory = directory;
    this.#token = readToken(directory);
  }

  /** Takes the token that is there now. @returns whether it is another one. */
  renew(): boolean {
    const previous = this.#token;
    this.#token = readToken(this.#directory);
    return !previous.equals(this.#token);
  }

  get byteLength(): number {
    return this.#token.length + 8;
  }

  of(epoch: number): Buffer {
    const number = Buffer.alloc(8);
    number.writeBigUInt64LE(BigInt(epoch));
    return Buffer.concat([this.#token, number]);
  }

  /** Finds a whole header. */
  find(bytes: Buffer, from = 0): { start: number; end: number; epoch: number } | undefined {
    const start = bytes.indexOf(this.#token, from);
    const end = start + this.byteLength;
    if (start < 0 || end > bytes.length) return undefined;
    return { start, end, epoch: Number(bytes.readBigUInt64LE(end - 8)) };
  }
}

function readToken(directory: string): Buffer {
  return Buffer.from(readFileSync(`${directory}/token`, "latin1").trim(), "hex");
}

/** Opens a port for reads and writes that never wait. */
export function openPort(path: string): number {
  return openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
}

/**
 * A port as a stream. Node takes no character device for one, though the kernel lets it be waited for like a socket;
 * by its file functions a read would hold a thread, and with it the end of this process.
 */
export function portStream(path: string): Socket {
  return socketOf(newPipe("SOCKET", openPort(path)));
}
