/**
 * Workload ids are xids: 12 bytes (seconds, machine, process, counter) as 20 characters of lower-case base32hex.
 * Format: https://github.com/rs/xid
 */
import { randomBytes, randomInt } from "node:crypto";
import { base32hexnopad } from "@scure/base";

export const xidPattern = /^[0-9a-v]{20}$/;

/**
 * Creates a generator of globally unique ids. Five random bytes replace the machine and process parts.
 *
 * @param now Clock, in Unix ms.
 */
export function createXidMaker(now: () => number): () => string {
  const maker = randomBytes(5);
  let counter = randomInt(0x1000000);
  return () => {
    const bytes = Buffer.alloc(12);
    bytes.writeUInt32BE(Math.floor(now() / 1000) >>> 0, 0);
    maker.copy(bytes, 4);
    bytes.writeUIntBE(counter, 9, 3);
    counter = (counter + 1) & 0xffffff;
    return base32hexnopad.encode(bytes).toLowerCase();
  };
}
