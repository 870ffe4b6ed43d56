/** Blocking calls over a serial port, which stays open for all epochs. */
import { readSync, writeSync } from "node:fs";
import { type CallChannel, channelEnded, type OpenCalls } from "./call-channel.ts";
import { EpochHeader, openPort } from "./serial-port.ts";

/** How long a header may be on its way when the frames have begun already. */
const markTimeoutMs = 2_000;
/** Between two looks at a port that has nothing, first and later. */
const pauseFirstMs = 0.05;
const pauseLaterMs = 1;
const readBytesMax = 65_536;

const sleeper = new Int32Array(new SharedArrayBuffer(4));

/** The port stays open for all epochs; it is opened when the first begins. */
export function portCalls(directory: string): OpenCalls {
  let port: CallPort | undefined;
  return (epoch) => {
    port ??= new CallPort(directory);
    return port.open(epoch);
  };
}

/** The port of calls. No call waits in the kernel, since that would not end with the host. */
class CallPort {
  readonly #header: EpochHeader;
  readonly #fd: number;
  readonly #chunk = Buffer.allocUnsafe(readBytesMax);
  #bytes: Buffer = Buffer.alloc(0);

  constructor(directory: string) {
    this.#header = new EpochHeader(directory);
    this.#fd = openPort(`${directory}/calls`);
  }

  /** @throws NexError when the host does not begin this epoch in time. */
  open(epoch: number): CallChannel {
    const deadline = performance.now() + markTimeoutMs;
    for (const pause = pauses(); ; ) {
      const header = this.#header.find(this.#bytes);
      if (header !== undefined) {
        this.#bytes = this.#bytes.subarray(header.end);
        if (header.epoch === epoch) break;
        continue;
      }
      this.#bytes = this.#bytes.subarray(-this.#header.byteLength);
      if (this.#fill() <= 0) pause();
      if (performance.now() > deadline) throw channelEnded();
    }
    const line: CallChannel = {
      write: (bytes) => this.#write(bytes),
      readSome: (to, at) => this.#readSome(to, at),
      close: () => undefined,
    };
    line.write(this.#header.of(epoch));
    return line;
  }

  #write(bytes: Buffer): void {
    const pause = pauses();
    for (let at = 0; at < bytes.length; ) {
      const written = unlessItWaits(() => writeSync(this.#fd, bytes, at));
      if (written !== undefined) at += written;
      // A port without a host takes nothing, and says so only to those who read.
      else if (this.#fill() === 0) throw channelEnded();
      else pause();
    }
  }

  #readSome(to: Buffer, at: number): number {
    for (const pause = pauses(); this.#bytes.length === 0; ) {
      const count = this.#fill();
      if (count === 0) throw channelEnded();
      if (count < 0) pause();
    }
    // Once the next node has started, nothing more of the previous node's answer arrives.
    const end = this.#header.find(this.#bytes)?.start ?? this.#bytes.length;
    if (end === 0) throw channelEnded();
    const count = this.#bytes.copy(to, at, 0, end);
    this.#bytes = this.#bytes.subarray(count);
    return count;
  }

  /** Reads what is there. @returns how many bytes; 0 without a host, -1 when there is nothing yet. */
  #fill(): number {
    const count = unlessItWaits(() => readSync(this.#fd, this.#chunk, 0, readBytesMax, null));
    if (count === undefined) return -1;
    if (count > 0) this.#bytes = Buffer.concat([this.#bytes, this.#chunk.subarray(0, count)]);
    return count;
  }
}

/** Waits a little, and longer when it is asked often. */
function pauses(): () => void {
  let pauseMs = pauseFirstMs;
  return () => {
    Atomics.wait(sleeper, 0, 0, pauseMs);
    pauseMs = Math.min(pauseMs * 1.1, pauseLaterMs);
  };
}

function unlessItWaits(act: () => number): number | undefined {
  try {
    return act();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EAGAIN") return undefined;
    throw error;
  }
}
