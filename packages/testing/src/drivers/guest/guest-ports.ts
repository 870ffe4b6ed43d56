/**
 * Channels of the test guest in a QEMU microVM, with `--channels=port:<directory>`: two serial ports. The host starts
 * each epoch on both with a 24-byte header: the machine's token and the epoch. Data before the header is discarded,
 * and the guest answers with the same header. A real agent does the same with fewer copies.
 */
import { constants, openSync, readSync, writeSync } from "node:fs";
import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { epochBytes, type GuestChannels, markOf, readToken } from "./guest-marks.ts";
import { pipeOf, streamOf } from "./pipe.ts";

const retryMs = 10;
const pauseMs = 0.2;
const sleeper = new Int32Array(new SharedArrayBuffer(4));

/** Yields one epoch after another until the node is lost. */
export async function* portSessions(
  directory: string,
  nodeLostTimeoutMs: number,
): AsyncGenerator<GuestChannels> {
  const token = readToken(directory);
  const calls = new CallPort(`${directory}/calls`, token);
  let deadline = performance.now() + nodeLostTimeoutMs;
  while (performance.now() < deadline) {
    const port = streamOf(pipeOf("SOCKET", openPort(`${directory}/frames`)));
    for await (const { epoch, frames } of epochsOf(port, () => token)) {
      port.write(markOf(token, epoch));
      yield {
        frames,
        attach: (wanted) => calls.begin(wanted),
        call: (request, answerBytes) => calls.call(request, answerBytes),
      };
      deadline = performance.now() + nodeLostTimeoutMs;
    }
    await delay(retryMs);
  }
}

function openPort(path: string): number {
  return openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
}

/** Yields the streams between headers. A repeated header starts nothing. */
export async function* epochsOf(
  port: Socket,
  readToken: () => Buffer,
): AsyncGenerator<{ epoch: number; frames: Duplex }> {
  const begun: { epoch: number; frames: Duplex }[] = [];
  let wake = (): void => undefined;
  let bytes: Buffer = Buffer.alloc(0);
  let current: Duplex | undefined;
  let epoch = -1;
  const deliver = (part: Buffer): void => {
    if (part.length > 0 && current?.push(part) === false) port.pause();
  };
  port.on("data", (chunk: Buffer) => {
    bytes = Buffer.concat([bytes, chunk]);
    const token = readToken();
    for (let at = bytes.indexOf(token); at >= 0; at = bytes.indexOf(token)) {
      const end = at + token.length + epochBytes;
      if (bytes.length < end) return;
      const told = Number(bytes.readBigUInt64LE(end - epochBytes));
      deliver(bytes.subarray(0, at));
      bytes = bytes.subarray(end);
      if (told <= epoch) continue;
      epoch = told;
      current?.push(null);
      current = framesOver(port);
      begun.push({ epoch, frames: current });
      wake();
    }
    deliver(bytes);
    if (current !== undefined) bytes = Buffer.alloc(0);
  });
  port.once("close", () => {
    current?.push(null);
    wake();
  });
  while (begun.length > 0 || !port.destroyed) {
    const next = begun.shift();
    if (next !== undefined) yield next;
    else
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
  }
}

function framesOver(port: Socket): Duplex {
  return new Duplex({
    allowHalfOpen: false,
    read: () => void port.resume(),
    write: (chunk: Buffer, _, done) => void port.write(chunk, done),
  }).on("error", () => undefined);
}

/** The port of blocking calls. It stays open, and reads never block in the kernel. */
class CallPort {
  readonly #fd: number;
  readonly #token: Buffer;
  readonly #chunk = Buffer.alloc(65_536);
  #bytes: Buffer = Buffer.alloc(0);

  constructor(path: string, token: Buffer) {
    this.#fd = openPort(path);
    this.#token = token;
  }

  /** Discards data of other epochs. */
  begin(epoch: number): void {
    const mark = markOf(this.#token, epoch);
    let at = this.#bytes.indexOf(mark);
    for (; at < 0; at = this.#bytes.indexOf(mark)) if (!this.#fill()) pause();
    this.#bytes = this.#bytes.subarray(at + mark.length);
    this.#write(mark);
  }

  /** Waits for an answer and the end byte. Returns fewer bytes if the node is gone. */
  call(request: Buffer, answerBytes: number): Buffer {
    if (!this.#write(request)) return Buffer.alloc(0);
    while (this.#bytes.length <= answerBytes) {
      const more = this.#fill();
      if (more === undefined || this.#bytes.includes(this.#token)) return Buffer.alloc(0);
      if (!more) pause();
    }
    const answer = this.#bytes.subarray(0, answerBytes);
    this.#bytes = this.#bytes.subarray(answerBytes + 1);
    return answer;
  }

  /** @returns whether the node received it. */
  #write(bytes: Buffer): boolean {
    for (let sent = 0; sent < bytes.length; ) {
      const count = attempt(() => writeSync(this.#fd, bytes, sent));
      if (count !== undefined) sent += count;
      else if (this.#fill() === undefined) return false;
      else pause();
    }
    return true;
  }

  /** @returns whether data arrived; `undefined` without a host. */
  #fill(): boolean | undefined {
    const count = attempt(() => readSync(this.#fd, this.#chunk, 0, this.#chunk.length, null));
    if (count === 0) return undefined;
    if (count !== undefined) this.#bytes = Buffer.concat([this.#bytes, this.#chunk.subarray(0, count)]);
    return count !== undefined;
  }
}

function pause(): void {
  Atomics.wait(sleeper, 0, 0, pauseMs);
}

/** @returns `undefined` if the port has no data or no space. */
function attempt(act: () => number): number | undefined {
  try {
    return act();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EAGAIN") return undefined;
    throw error;
  }
}
