/** Keeps the last bytes of a machine's console. */
import type { Readable } from "node:stream";

/** Maximum number of console bytes kept. */
export const consoleBytesMax = 4096;

/**
 * Keeps the last bytes of a machine's console. The streams are always drained, so that the machine never blocks on
 * output.
 */
export class ConsoleTail {
  #tail: Buffer = Buffer.alloc(0);

  /** Reads a stream until it ends. */
  follow(stream: Readable): void {
    stream.on("data", (chunk: Buffer) => this.add(chunk));
    stream.on("error", () => undefined);
  }

  /** Appends bytes. */
  add(chunk: Uint8Array): void {
    this.#tail = Buffer.from(
      Buffer.concat([this.#tail, chunk.subarray(-consoleBytesMax)]).subarray(-consoleBytesMax),
    );
  }

  /** Returns the text as at most 4 KiB of valid UTF-8, whatever bytes the machine wrote. */
  text(): string {
    const bytes = Buffer.from(this.#tail.toString("utf8"));
    let start = Math.max(bytes.length - consoleBytesMax, 0);
    while (start > 0 && ((bytes[start] ?? 0) & 0xc0) === 0x80) start++;
    return bytes.subarray(start).toString("utf8");
  }
}
