/** Converts a function's return value into the bytes of a reply. */
import { isAnyArrayBuffer, isUint8Array } from "node:util/types";
import type { RealmApi } from "./realm-types.ts";

const noBytes = new Uint8Array(0);
const typedArray = Object.getPrototypeOf(Uint8Array.prototype) as object;
const getter = (name: string): ((this: unknown) => unknown) =>
  Object.getOwnPropertyDescriptor(typedArray, name)?.get as (this: unknown) => unknown;
// The intrinsic getters: a function's own members of these names must not decide what memory is read.
const bufferOf = getter("buffer");
const offsetOf = getter("byteOffset");
const lengthOf = getter("byteLength");

/**
 * `Uint8Array` and `ArrayBuffer` go out as they are, `undefined` as nothing, all else as JSON. A function, a symbol, and an
 * object whose `toJSON` gives nothing have none.
 *
 * @returns a view where the value is binary.
 * @throws whatever the value's own `toJSON` throws, or a TypeError for what has no JSON.
 */
export function replyBytes(value: unknown, api: RealmApi): Uint8Array {
  if (value === undefined) return noBytes;
  if (isUint8Array(value)) {
    return new Uint8Array(
      bufferOf.call(value) as ArrayBuffer,
      offsetOf.call(value) as number,
      lengthOf.call(value) as number,
    );
  }
  if (isAnyArrayBuffer(value)) return new Uint8Array(value);
  const json = api.stringify(value);
  if (json === undefined) throw new TypeError(`a value of the type ${typeof value} has no JSON`);
  return Buffer.from(json);
}

/** Whether a value goes out as JSON. */
export function isJson(value: unknown): boolean {
  return value !== undefined && !isUint8Array(value) && !isAnyArrayBuffer(value);
}
