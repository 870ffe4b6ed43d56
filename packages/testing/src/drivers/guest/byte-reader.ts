import { once } from "node:events";
import type { Readable } from "node:stream";

/** Reads lines and exact numbers of bytes from a stream. Never reads more than requested. */
export class ByteReader {
  readonly #stream: Readable;
  #rest: Buffer = Buffer.alloc(0);

  constructor(stream: Readable) {
    this.#stream = stream;
  }

  /** Returns the next line without its line break, or `undefined` at the end of the stream. */
  async line(): Promise<string | undefined> {
    for (;;) {
      const end = this.#rest.indexOf(10);
      if (end >= 0) {
        const line = this.#rest.subarray(0, end).toString("utf8");
        this.#rest = this.#rest.subarray(end + 1);
        return line;
      }
      const chunk = await this.#next();
      if (!chunk) return undefined;
      this.#rest = Buffer.concat([this.#rest, chunk]);
    }
  }

  /** Returns exactly `count` bytes, or fewer at the end of the stream. */
  async bytes(count: number): Promise<Buffer> {
    const chunks: Buffer[] = [];
    for (let left = count; left > 0; ) {
      const chunk = await this.some(left);
      if (!chunk) break;
      chunks.push(chunk);
      left -= chunk.length;
    }
    return Buffer.concat(chunks);
  }

  /** Returns 1 to `countMax` bytes, or `undefined` at the end of the stream. */
  async some(countMax: number): Promise<Buffer | undefined> {
    const chunk = this.#rest.length > 0 ? this.#rest : await this.#next();
    if (!chunk) return undefined;
    this.#rest = chunk.subarray(countMax);
    return chunk.subarray(0, countMax);
  }

  async #next(): Promise<Buffer | undefined> {
    for (;;) {
      const chunk: unknown = this.#stream.read();
      if (Buffer.isBuffer(chunk)) return chunk;
      if (this.#stream.readableEnded || this.#stream.destroyed) return undefined;
      const heard = new AbortController();
      const { signal } = heard;
      const events = ["readable", "end", "close"].map((event) => once(this.#stream, event, { signal }));
      await Promise.race(events).catch(() => undefined);
      for (const event of events) event.catch(() => undefined);
      heard.abort();
    }
  }
}
