/** The memory of the instance that runs, as its host's functions see it. Every place is checked. */
import { copyBytes } from "@nexengine/protocol/agent";
import type { WasmMemory } from "./engine.ts";

const noMemory = new ArrayBuffer(0);

export class FunctionMemory {
  #memory: WasmMemory | undefined;
  #bytes = new Uint8Array(noMemory);
  #view = new DataView(noMemory);

  /** An instance runs from now on, or none. */
  use(memory: WasmMemory | undefined): void {
    if (memory === this.#memory) return;
    this.#memory = memory;
    this.#look();
  }

  #look(): void {
    const buffer = this.#memory?.buffer ?? noMemory;
    this.#bytes = new Uint8Array(buffer);
    this.#view = new DataView(buffer);
  }

  /** @throws RangeError when it is not within the memory */
  range(place: number, size: number): Uint8Array<ArrayBuffer> {
    const start = this.#within(place, size >>> 0);
    return this.#bytes.subarray(start, start + (size >>> 0));
  }

  /** A memory that has grown has another buffer, which is looked for here first: the previous one is empty. */
  #within(place: number, size: number): number {
    if (this.#bytes.length === 0) this.#look();
    const start = place >>> 0;
    if (start + size > this.#bytes.length) throw new RangeError("an address is outside of its memory");
    return start;
  }

  u8(place: number): number {
    const at = this.#within(place, 1);
    return this.#view.getUint8(at);
  }

  u32(place: number): number {
    const at = this.#within(place, 4);
    return this.#view.getUint32(at, true);
  }

  u64(place: number): bigint {
    const at = this.#within(place, 8);
    return this.#view.getBigUint64(at, true);
  }

  setU32(place: number, value: number): void {
    const at = this.#within(place, 4);
    this.#view.setUint32(at, value, true);
  }

  setU64(place: number, value: bigint): void {
    const at = this.#within(place, 8);
    this.#view.setBigUint64(at, value, true);
  }

  /** Copies a part of `from` to a place. */
  put(place: number, from: Uint8Array, start: number, end: number): void {
    const at = this.#within(place, end - start);
    copyBytes(from, start, end, this.#bytes, at);
  }
}
