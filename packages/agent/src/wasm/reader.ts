/** Reads the binary form of Wasm. Every size is compared with what there is. */
import { NexError } from "@nexengine/protocol/errors";

const decoder = new TextDecoder("utf-8", { fatal: true });

export class WasmReader {
  readonly bytes: Uint8Array;
  at: number;
  readonly end: number;

  constructor(bytes: Uint8Array, at = 0, end = bytes.length) {
    this.bytes = bytes;
    this.at = at;
    this.end = end;
  }

  get done(): boolean {
    return this.at >= this.end;
  }

  u8(): number {
    if (this.at >= this.end) throw malformed("it is cut off");
    return this.bytes[this.at++] as number;
  }

  /** An unsigned number of at most 32 bits, in LEB128. */
  u32(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.u8();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) {
        if (value > 0xffff_ffff) break;
        return value;
      }
    }
    throw malformed("a number has over 32 bits");
  }

  /** Passes by a number of at most 64 bits, in LEB128. */
  skipNumber(): void {
    for (let count = 0; count < 10; count++) if (this.u8() < 0x80) return;
    throw malformed("a number has over 64 bits");
  }

  skip(count: number): void {
    if (count > this.end - this.at) throw malformed("it is cut off");
    this.at += count;
  }

  /** The next bytes as a part of their own. */
  part(): WasmReader {
    const size = this.u32();
    const start = this.at;
    this.skip(size);
    return new WasmReader(this.bytes, start, this.at);
  }

  name(): string {
    const { at, end } = this.part();
    try {
      return decoder.decode(this.bytes.subarray(at, end));
    } catch (cause) {
      throw new NexError("artifact_invalid", "a name is not UTF-8", { cause });
    }
  }

  /** Reads a counted list; nothing is set aside for what is only said to come. */
  list<T>(read: () => T): T[] {
    const items: T[] = [];
    for (let left = this.u32(); left > 0; left--) items.push(read());
    return items;
  }
}

export function malformed(what: string): NexError {
  return new NexError("artifact_invalid", what);
}
