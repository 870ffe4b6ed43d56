/** The memory of the instance that runs, as its host's functions see it. Every place is checked. */
import { copyBytes } from "@nexengine/protocol/internal";
import type { WasmMemory } from "./engine.ts";

const noMemory = new ArrayBuffer(0);

export class FunctionMemory {
  #memory: WasmMemory | undefined;
  #bytes = new Uint8Array(noMemory);
  #view = new DataView(noMemory);

  /** Another instance runs from now on. */
  use(memory: WasmMemory | undefined): void {
    this.#memory = memory;
    this.#look();
  }

  #look(): void {
    const buffer = this.#memory?.buffer ?? noMemory;
    this.#bytes = new Uint8Array(buffer);
    this.#view = new DataView(buffer);
  }

  /** All of it. A memory that has grown has another buffer, and the former one is empty. */
  get bytes(): Uint8Array<ArrayBuffer> {
    if (this.#bytes.length === 0) this.#look();
    return this.#bytes;
  }

  get #data(): DataView {
    if (this.#bytes.length === 0) this.#look();
    return this.#view;
  }

  /** @throws RangeError when it is not within the memory */
  range(place: number, size: number): Uint8Array<ArrayBuffer> {
    const start = place >>> 0;
    const end = start + (size >>> 0);
    const { bytes } = this;
    if (end > bytes.length) throw new RangeError("an address is outside of its memory");
    return bytes.subarray(start, end);
  }

  u8(place: number): number {
    return this.#data.getUint8(place >>> 0);
  }

  u32(place: number): number {
    return this.#data.getUint32(place >>> 0, true);
  }

  u64(place: number): bigint {
    return this.#data.getBigUint64(place >>> 0, true);
  }

  setU32(place: number, value: number): void {
    this.#data.setUint32(place >>> 0, value, true);
  }

  setU64(place: number, value: bigint): void {
    this.#data.setBigUint64(place >>> 0, value, true);
  }

  /** Copies a part of `from` to a place. */
  put(place: number, from: Uint8Array, start: number, end: number): void {
    const at = place >>> 0;
    const { bytes } = this;
    if (at + end - start > bytes.length) throw new RangeError("an address is outside of its memory");
    copyBytes(from, start, end, bytes, at);
  }
}
