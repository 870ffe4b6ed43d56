import type { Readable } from "node:stream";

/** What is kept of a console for people to read. */
export const consoleBytesMax = 4096;

/** The last bytes that a machine wrote, whatever it writes: the streams are always drained, so it never blocks. */
export class ConsoleTail {
  #tail: Buffer = Buffer.alloc(0);

  /** Collects from a stream until it ends. */
  follow(stream: Readable): void {
    stream.on("data", (chunk: Buffer) => this.add(chunk));
    stream.on("error", () => undefined);
  }

  /** Adds bytes to the end. */
  add(chunk: Uint8Array): void {
    this.#tail = Buffer.from(
      Buffer.concat([this.#tail, chunk.subarray(-consoleBytesMax)]).subarray(-consoleBytesMax),
    );
  }

  /** The text, at most 4 KiB of UTF-8 even where the machine wrote something else. */
  text(): string {
    const bytes = Buffer.from(this.#tail.toString("utf8"));
    let start = Math.max(bytes.length - consoleBytesMax, 0);
    while (start > 0 && ((bytes[start] ?? 0) & 0xc0) === 0x80) start++;
    return bytes.subarray(start).toString("utf8");
  }
}
